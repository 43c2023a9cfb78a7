"""Sound events: scores over time against the times of the sounds in a scene (`niah locate --events`).

scores    scores over time of one scene: by position, or by windows
measure   `niah locate --events`, resumed cell by cell
rows      what is stored and shown: events/<key>.json, events.csv;   table, figure
"""
