"""A run on many workers of dask.distributed: an engine that hands out the same claims as processes started by hand.

    spec -> workers (`niah.cluster.workers`) -> jobs, the longest first (`niah.cluster.driver`) -> rows

Needs the extra `cluster`. Workers write every result to the run directory themselves, so that nothing is lost with the
engine: what it knows are names of cells.
"""
