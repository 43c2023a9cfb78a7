"""Scenes as sound files for systems that niah cannot call, and their predictions as cells of a run.

writing       a plan's scenes: sound files, manifest.csv, answers.parquet, scenes.json
sound         one scene as a sound file, block by block
scene_set     the content of such a folder, read without torch
predictions   (scene, label, score) in CSV, Parquet or JSON lines
score_matrix  predictions as logits, a row a scene and a column a class
scoring       logits as cells of a run directory
"""
