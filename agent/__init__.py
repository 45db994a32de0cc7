"""Forewarn: a predictive-maintenance agent for PLC-controlled machines."""
