"""The deterministic heart, in ISO 13374 order: window, assess, diagnose, advise, line. Pure: no I/O, no clock."""
