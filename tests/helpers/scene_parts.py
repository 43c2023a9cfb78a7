"""Clips and builders for tests of scenes."""

import numpy as np
from numpy.typing import NDArray

from niah.frontends.kaldi import KaldiFrontend
from niah.haystacks import Haystack, load_haystack
from niah.scenes.builder import SceneBuilder

MEAN, STD = -4.2677393, 4.5689974
FRONTEND = KaldiFrontend()
FLOOR = (np.log(1.1920928955078125e-07) - MEAN) / (2 * STD)


def clip(seconds: float = 10.0, seed: int = 0, offset: float = 0.0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    t = np.arange(round(16000 * seconds)) / 16000
    sound = 0.2 * np.sin(2 * np.pi * (300 + 40 * t) * t) + 0.01 * rng.standard_normal(len(t))
    return (sound + offset).astype(np.float32)


def builder(haystack: Haystack | str, protocol: str = "dass-v1", **options: object) -> SceneBuilder:
    if isinstance(haystack, str):
        haystack = load_haystack(haystack)
    return SceneBuilder(FRONTEND, protocol, haystack, **options)  # type: ignore[arg-type]


def needle_rows(length_s: float, start: int) -> NDArray[np.bool_]:
    rows = np.zeros(round(100 * length_s), dtype=bool)
    rows[start : start + 1024] = True
    return rows
