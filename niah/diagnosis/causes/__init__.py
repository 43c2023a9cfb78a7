"""Causes of a drop with length.

interventions  a loaded tagger with one change
passes         the changes for each family of models, and what each measures
measuring      `niah causes`: the same scenes under each change
table          the drop split into its causes, from stored logits;   figure, outputs: drawn and written
"""
