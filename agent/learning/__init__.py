"""From what was recorded to a model: what may be learnt from, and the learning itself."""
