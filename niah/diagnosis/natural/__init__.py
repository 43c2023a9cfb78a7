"""Natural scenes (`--haystack own`): events in growing crops of their own recording, and synthetic scenes beside them.

measure   a row a model, position and length; L85 over resampled clips; its rank correlation with synthetic scenes
tables    both tables
"""
