"""A run against a reference: the regression gate (`check`), and which of two systems is better (`paired`)."""
