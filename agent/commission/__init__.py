"""From a PLC's address, or another program's list of its tags, to a configuration that a person reads and corrects."""
