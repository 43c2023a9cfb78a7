"""Cells as curves against length and as tables of text."""
