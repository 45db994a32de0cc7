"""OPC UA, read only: which server, how it is trusted and asked, and what its values mean."""
