"""Controls: what the scores would be if they meant nothing. One idea a file.

needle_free  thresholds, false alarms and drift on scenes without a needle
overlap      scores where the haystack itself truly contains labelled sounds
calibration  rank kept but scale lost, or lost
table        the controls of a run, as shown
"""
