"""What the agent keeps on disk: the alert journal and the telemetry log."""
