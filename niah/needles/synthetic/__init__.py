"""The embedded synthetic needle set: procedural, deterministic, no download.

`signals` holds the building blocks; `tonal`, `struck`, `noisy` and `voices` the classes; `clips`
puts them together.
"""

from niah.needles.synthetic.clips import (
    CLASSES,
    CLIP_SAMPLES,
    RECIPE,
    SPLITS,
    EventClass,
    clip,
    clip_id,
    labels,
    sounds,
)
from niah.needles.synthetic.signals import SAMPLE_RATE

__all__ = [
    "CLASSES",
    "CLIP_SAMPLES",
    "RECIPE",
    "SAMPLE_RATE",
    "SPLITS",
    "EventClass",
    "clip",
    "clip_id",
    "labels",
    "sounds",
]
