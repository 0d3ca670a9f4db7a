"""The running engine: hot path, fold, window, export. Verbs are in `mlobs.api`."""
