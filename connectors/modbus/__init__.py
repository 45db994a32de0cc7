"""Modbus, read only: which device, how its registers are asked for, and what they mean."""
