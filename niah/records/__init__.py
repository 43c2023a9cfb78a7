"""A run on disk: what a row is, a cell's scores, the run directory, and metrics computed from stored scores."""
