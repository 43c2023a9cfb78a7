"""Why does the score drop with length? One idea a file.

interventions  a loaded tagger with one thing changed
passes         the changes that take a family apart, and what each tells
measuring      `niah causes`: the same scenes under each change
table          the drop split into its causes, from stored logits;   figure, outputs: as drawn and written
"""
