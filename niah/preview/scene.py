"""The scene that the files of a preview show."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from niah.errors import NiahError
from niah.frontends import Frontend
from niah.frontends.kaldi import KaldiFrontend
from niah.frontends.log_mel import LogMelFrontend
from niah.frontends.stft import StftFrontend
from niah.frontends.waveform import WaveformFrontend
from niah.needles.features import NeedleFeatures
from niah.scenes.builder import SceneBuilder

Drawable = KaldiFrontend | StftFrontend | LogMelFrontend
"""Front ends with decibels of features and hertz of mel bands."""


def drawn_as(frontend: Frontend) -> Drawable:
    """Return the front end whose features are drawn: the model's own, or for waveforms 64 mel bands in decibels.

    Raises:
        NiahError: a front end of a user's own.
    """
    if isinstance(frontend, WaveformFrontend):
        rate, shift = frontend.sample_rate, frontend.frame_shift
        size = 1 << (2 * shift).bit_length()  # 20 ms and more
        return LogMelFrontend(rate, size, shift, 64, "dB", f_min=50.0, floor=1e-8)
    if isinstance(frontend, Drawable):
        return frontend
    raise NiahError(
        f"{type(frontend).__name__} has no decibels to draw: it is no front end of niah.frontends"
    )


def drawn_features(frontend: Frontend, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute what is drawn of a scene: its features, or those of `drawn_as` where they are samples.

    Args:
        frontend: of the scene.
        features: (frames, mels) float32.

    Returns:
        (frames, mels of `drawn_as`) float32.
    """
    if not isinstance(frontend, WaveformFrontend):
        return features
    waveform = torch.from_numpy(features.reshape(1, -1))
    return drawn_as(frontend)(waveform)[0, : len(features)].numpy()


@dataclass(frozen=True)
class PreviewScene:
    """One scene with its parts; `total` and `start` are in frames."""

    title: str
    frontend: Frontend
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
