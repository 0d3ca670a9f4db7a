"""What `mlobs doctor` and `mlobs cardinality` know: whether telemetry gets where it should, and how much of it there is."""
