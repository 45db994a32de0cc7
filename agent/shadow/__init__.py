"""From the first value of an asset to alerts that people see: stages, and the models learnt on the way."""
