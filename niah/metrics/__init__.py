"""Scores and their uncertainty.

average_precision   AP, mAP, AUC, d', and their values for random scores
weighted_precision  AP of a list stated as multiplicities; `_numba`: the same, for large lists
leave_one_out       mAP without each clip in turn, in closed form
resampling          a score on drawn lists and on lists less one recording; standard error, interval
proportion          exact interval of a proportion
drop                mAP, drop and chance-adjusted retention of one cell; the smallest detectable drop
effective_length    L85 and L50: the length to which a model keeps its score, interpolated, with interval
multiple_testing    p-values of many differences, corrected (Holm, Benjamini-Hochberg)
chance              the part of macro mAP that is due to few clips
"""
