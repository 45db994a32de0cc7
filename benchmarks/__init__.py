"""Measurements with their peers in the same run; results are kept in benchmarks/results."""
