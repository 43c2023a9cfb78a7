"""The scene that a preview's files tell of."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from niah.frontends.kaldi import KaldiFrontend
from niah.frontends.stft import StftFrontend
from niah.needles.features import NeedleFeatures
from niah.scenes.builder import SceneBuilder

Drawable = (
    KaldiFrontend | StftFrontend
)  # front ends that know their features in decibels and mels in hertz


@dataclass(frozen=True)
class PreviewScene:
    """One scene, as all of a preview's files tell of it."""

    title: str
    frontend: Drawable
    builder: SceneBuilder
    clip_id: str
    wave: NDArray[np.float32]
    needle: NeedleFeatures
    length_s: float
    total: int
    start: int
    snr_db: float | None
