"""Several different needles in a scene: how many are named together, and whether their order matters.

rows      what is stored: one row a scene, length and number of needles   (several_needles.csv)
measure   rows from the stored scores of a run
table     the table;   figure   set recall against the number of needles, recall by place in time
"""
