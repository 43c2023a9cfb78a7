"""Controls: scores where there is nothing to recognise, or where the haystack has labels itself.

needle_free  thresholds, false alarms and drift on scenes without a needle
overlap      scores where the haystack contains labelled sounds
calibration  whether scores lose their rank or only their scale
table        the controls of a run as tables
"""
