"""Pace of a model: seconds and memory that a scene takes, measured at some lengths and forecast at others.

Between two measured lengths, and beyond the longest, time is taken as a power of the length, t = t1 (L / L1)^p, with
the exponent p of the two nearest points: about 1 for state-space models and convolutions, up to 2 for attention.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from math import log

CALIBRATION_LENGTHS_S = (10.0, 20.0, 40.0, 80.0, 160.0)
CALIBRATION_S = 3.0  # after which no longer scene is tried
LOWEST, HIGHEST = 0.0, 2.0  # exponents beyond these are noise of the measurement


@dataclass
class Pace:
    """Seconds a scene by length."""

    _seconds: dict[float, float] = field(default_factory=dict)
    _peaks: dict[float, int] = field(default_factory=dict)

    def add(self, length_s: float, seconds: float, peak_bytes: int = 0) -> None:
        """Take a measurement; of several at one length the fastest counts, since others have a warm-up in them.

        Args:
            length_s: length of the scenes.
            seconds: time a scene.
            peak_bytes: peak memory.
        """
        self._seconds[length_s] = min(seconds, self._seconds.get(length_s, seconds))
        self._peaks[length_s] = max(peak_bytes, self._peaks.get(length_s, 0))

    def calibrate(self, longest_s: float, score: Callable[[float], None]) -> None:
        """Measure short scenes, the shortest first, until a few seconds have passed.

        Args:
            longest_s: length beyond which no scene is tried.
            score: scores scenes of a length, whose time is then added; what it raises goes through.
        """
        begin = time.monotonic()
        for length_s in CALIBRATION_LENGTHS_S:
            if length_s > longest_s or time.monotonic() - begin > CALIBRATION_S:
                break
            if length_s not in self._seconds:
                score(length_s)

    def seconds(self, length_s: float) -> float | None:
        """Forecast the seconds of a scene of some length; None before anything is measured."""
        points = sorted(self._seconds.items())
        if not points:
            return None
        if length_s in self._seconds:
            return self._seconds[length_s]
        if len(points) == 1:
            ((known_s, seconds),) = points
            return seconds * length_s / known_s
        above = next((i for i, point in enumerate(points) if point[0] > length_s), len(points) - 1)
        (short_s, short), (long_s, long) = points[max(above, 1) - 1], points[max(above, 1)]
        exponent = log(long / short) / log(long_s / short_s) if short > 0 < long else 1.0
        exponent = min(HIGHEST, max(LOWEST, exponent))
        nearest_s, nearest = (long_s, long) if length_s > long_s else (short_s, short)
        return float(nearest * (length_s / nearest_s) ** exponent)

    def most_seconds(self, length_s: float) -> float | None:
        """Return the seconds of a scene if it took the square of its length; None before a shorter one is measured.

        Args:
            length_s: length of the scene.
        """
        shorter = [known_s for known_s in self._seconds if known_s <= length_s]
        if not shorter:
            return None
        return float(self._seconds[max(shorter)] * (length_s / max(shorter)) ** HIGHEST)

    def peak_bytes(self, length_s: float) -> int:
        """Forecast the peak memory at some length, on the line through the two longest measured ones; 0 if unknown."""
        points = sorted(self._peaks.items())[-2:]
        if not points:
            return 0
        (short_s, low), (long_s, high) = points[0], points[-1]
        slope = max(0.0, (high - low) / (long_s - short_s)) if long_s > short_s else 0.0
        return round(high + slope * max(0.0, length_s - long_s))
