"""The demonstration: a simulated line on the wire, a real agent, and a degradation to be warned of in time."""
