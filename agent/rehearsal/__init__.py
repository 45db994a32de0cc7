"""What a site's own record says of what the agent would see: other alarm budgets, and faults put into it."""
