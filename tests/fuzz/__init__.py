"""Damaged and hostile files for every loader: what must come out is a result or one line, never a traceback.

    mutations   odd values, and changes of bytes, trees, JSON, TOML and tables
    sounds, needle_files, cards, tensors, bundles, runs    valid files of each kind, and damaged ones made of them
    loaders     the list: how an input of each kind is made, and how it is read
    harness     inputs in child processes under limits, watched for what they must not do
    report      counts and faults as text

Input `i` of a loader is a function of the loader's name and `i` alone: `python -m tests.fuzz LOADER --first i --keep
FOLDER` makes one again.
"""
