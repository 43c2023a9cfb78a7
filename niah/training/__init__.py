"""Recipes to checkpoints, in the order of a training:

recipes -> data (clips, planned batches) -> initial_weights -> loop (losses, teachers, optimiser, averaging, validation)
-> checkpoint, log -> trained_model (weights and their card). `command` is `niah train`.
"""
