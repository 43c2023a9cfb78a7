"""Pages for a browser: the report of a run, and the leaderboard of many."""
