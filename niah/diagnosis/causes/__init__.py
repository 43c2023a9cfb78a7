"""Why does the score drop with length? One idea a file.

interventions  a loaded tagger with one thing changed
passes         how a family is taken apart: which changes, and what each tells
measuring      `niah causes`: the same scenes under each change
table          the drop split into its causes, from stored logits
"""
