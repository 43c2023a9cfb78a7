"""Wall time of several ways to do the same thing, measured side by side."""

import time
from collections.abc import Callable, Mapping
from typing import Any


def interleaved_minima(
    ways: Mapping[str, Callable[[], Any]], rounds: int | Mapping[str, int]
) -> dict[str, float]:
    """Least seconds of each, in turns, so that a busy moment of the machine meets them all. One warm-up each."""
    counts = {name: rounds if isinstance(rounds, int) else rounds[name] for name in ways}
    for way in ways.values():
        way()
    best = dict.fromkeys(ways, float("inf"))
    for number in range(max(counts.values())):
        for name, way in ways.items():
            if number < counts[name]:
                start = time.perf_counter()
                way()
                best[name] = min(best[name], time.perf_counter() - start)
    return best
