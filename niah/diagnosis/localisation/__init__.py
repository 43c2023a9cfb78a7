"""Localisation: where in a scene the model heard the needle.

evidence  a class's evidence along the time of a scene: exact per-position logits, or occlusion
locate    `niah locate`: every scene of a run, resumed cell by cell
table     hit rates and errors, as stored and shown
"""
