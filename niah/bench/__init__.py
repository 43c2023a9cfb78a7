"""The cost of a forward pass, one idea a file.

point      one measurement: a model at a length, and how it is run
bench      `niah bench`: rows of points in bench.csv, and what of them is still to be measured
measuring  a point, in a process of its own
roofline   what it must cost at least: operations, bytes, and this machine's rates
claims     the papers' claims as points, and as ratios of rows
report     rows as tables and pictures
"""
