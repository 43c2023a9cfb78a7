"""Logits of the official codes, shipped with the rule that weights and inputs follow (`rule`)."""
