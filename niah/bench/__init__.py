"""The cost of a forward pass.

point      one measurement: a model, a length and its settings
bench      `niah bench`: measure the points that bench.csv does not have yet
measuring  one point, in a separate process
roofline   a lower bound: operations, bytes, and this machine's rates
claims     the papers' claims as points, and as ratios of rows
report     rows as tables and figures
"""
