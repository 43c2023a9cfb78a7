"""Diagnosis of a run: controls without a needle, localisation, causes of a drop."""
