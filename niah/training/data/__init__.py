"""Training clips: which of them make a step, how they are read, stored, changed and labelled."""
