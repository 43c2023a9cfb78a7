"""Readers of the layouts in which people keep labelled clips, a file each."""
