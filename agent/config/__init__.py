"""What one TOML file says: its tables as frozen, checked models, one module for each kind of table."""
