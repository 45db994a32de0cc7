"""The REST API: what people and other programs may see and say."""
