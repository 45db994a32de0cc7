"""What users of other systems complain of, each played on the real wire (docs/field-proven.md is made from it)."""
