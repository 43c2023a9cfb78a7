"""Further questions about a run's scenes: controls without a needle, localisation, causes of a drop."""
