"""What came of the alerts: figures from the journal and the record, and the report that shows them."""
