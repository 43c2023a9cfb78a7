"""Further questions about the scenes of a run: controls without a needle, where it was heard, what a drop is made of."""
