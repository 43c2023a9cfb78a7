"""Counts in sentences."""


def plural(count: int, noun: str) -> str:
    """Return a count with its noun: "1 cell", "2 cells"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
