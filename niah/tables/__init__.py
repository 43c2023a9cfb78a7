"""Cells as curves against length and as text tables."""
