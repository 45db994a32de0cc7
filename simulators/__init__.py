"""PLCs on the real wire: seeded physics, degradations with ground truth, faults of the wire, recordings."""
