"""Scenes as sound files for systems that niah cannot call, and their predictions as cells of a run.

The files, in the order of the data (docs/scenes.md has the formats):

    scene_plan    the cells and scenes of a plan
    sound         one scene as a sound file, block by block
    writing       a folder of them: sounds, manifest.csv, answers.parquet, scenes.json
    scene_set     the content of such a folder, read without torch
    predictions   (scene, label, score) in CSV, Parquet or JSON lines
    score_matrix  predictions as logits, a row a scene and a column a class
    scoring       logits as cells of a run directory
"""
