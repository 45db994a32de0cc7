"""Evidence of an alert: what the record holds of it, replayed, in one signed file for people far away."""
