"""The scene that the files of a preview show."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from niah.frontends.kaldi import KaldiFrontend
from niah.frontends.stft import StftFrontend
from niah.needles.features import NeedleFeatures
from niah.scenes.builder import SceneBuilder

Drawable = (
    KaldiFrontend | StftFrontend
)  # front ends with decibels of features and hertz of mel bands


@dataclass(frozen=True)
class PreviewScene:
    """One scene with its parts; `total` and `start` are in frames."""

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

    @property
    def padding(self) -> tuple[int, int] | None:
        """Return the frames (first, after the last) that pad a clip shorter than the needle; None without padding.

        Under the level "mix" there are none, as noise fills them.
        """
        alone = self.total == self.frontend.needle_frames and self.snr_db is None
        sounding = self.needle.frames
        if sounding >= self.frontend.needle_frames or (self.builder.level == "mix" and not alone):
            return None
        return self.start + sounding, self.start + self.frontend.needle_frames
