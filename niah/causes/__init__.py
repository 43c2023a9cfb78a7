"""Why does the score drop with length? One idea a file.

interventions  a loaded tagger with one thing changed
measuring      `niah causes`: the same scenes under each change
table          the drop split into its causes, from stored logits
"""
