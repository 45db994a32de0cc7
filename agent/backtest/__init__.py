"""The agent on old data: what it would have said, how early, how often wrongly, beside trivial rules."""
