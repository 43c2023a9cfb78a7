"""Where did the model hear it? One idea a file.

evidence  a class's evidence along the time of a scene: exact per-position logits, or occlusion
locate    `niah locate`: every scene of a run, resumed cell by cell
table     hit rates and errors, as stored and shown
"""
