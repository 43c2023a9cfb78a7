"""Recall at a number of false alarms an hour, against length.

rows      what is stored: one row a scene, length and rate   (false_alarms.csv)
measure   rows from the stored scores of a run
table     the table;   figure   recall against length, a panel a rate
"""
