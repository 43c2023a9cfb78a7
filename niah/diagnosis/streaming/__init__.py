"""Streaming: a tagger that hears a scene hop by hop, and when and how steadily it answers (`niah stream`).

listening  one scene through one model: logits, seconds and bytes of state after every hop
measure    `niah stream`, resumed cell by cell
scores     what the logits of a cell's scenes come to
rows       what is stored and shown: streams/<key>.json, streams.csv, stream_curves.csv;   table, figure
"""
