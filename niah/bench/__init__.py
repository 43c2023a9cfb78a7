"""The cost of a forward pass.

point      one measurement: a model, a length and its settings
bench      `niah bench`: measure the points that bench.csv does not have yet
made_by    what a row is of: the model's files, the package, the machine
measuring  one point, in a separate process
roofline   a lower bound: operations, bytes, and this machine's rates
claims     the papers' claims as points, and as ratios of rows
report     rows as tables and figures
"""
