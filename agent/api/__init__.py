"""The REST API: what people and other programs may see and say."""

PREFIX = "/api/v1"
"""What every address of this version begins with."""
