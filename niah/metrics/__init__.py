"""How sure are we? One idea a file.

resampling          a score on drawn lists and on lists less one clip; standard error, interval
weighted_precision  AP of a list told as multiplicities; compiled: the same, for large lists
leave_one_out       mAP without each clip in turn, in closed form
drop                mAP, drop and detectable drop of one cell
effective_length    L85 and L50: how long a model keeps its score, interpolated, with interval
comparison          p-values of many differences, corrected (Holm, Benjamini-Hochberg)
"""
