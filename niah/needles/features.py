"""A needle in the form that scenes need: its features, its level, and its loudest segment."""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from niah.audio import rms
from niah.errors import NiahError
from niah.frontends import Frontend
from niah.needles.active_part import active_rms

_QUIETEST_POWER = 1e-10  # -100 dB of full scale: below it all rows are equally quiet


@dataclass(frozen=True)
class NeedleFeatures:
    """A clip in the form that scenes need.

    `features` (needle_frames, mels) float32 normalised, padded or cut as the front end does; `rms` of the
    whole waveform before its mean was removed; its `samples`; its `frames` before padding. `waveform`
    (samples under needle_frames whole frames,) float32, less its mean if the front end removes it and
    `lead` samples in, is there only where noise is to be mixed under it (level "mix"). `active_levels` has the
    rms of its active part by the number of leading samples that count, once it was computed.
    """

    features: Tensor
    rms: float
    samples: int
    frames: int
    waveform: NDArray[np.float32] | None = None
    active_levels: dict[int, float] = field(default_factory=dict, compare=False, repr=False)

    def active_level(self, count: int, frontend: Frontend) -> float:
        """Return the rms of the active part (`niah.needles.active_part`) of the first `count` samples of the clip.

        Args:
            count: number of samples, of which those that only pad the clip do not count.
            frontend: that of the features.

        Raises:
            NiahError: it was made without its waveform.
        """
        count = min(self.samples, count)
        if count not in self.active_levels:
            clip = self.mixable[frontend.lead :][:count]
            self.active_levels[count] = active_rms(clip, frontend.sample_rate)
        return self.active_levels[count]

    @property
    def mixable(self) -> NDArray[np.float32]:
        """Return the waveform.

        Raises:
            NiahError: the needle was made without it.
        """
        if self.waveform is None:
            raise NiahError("noise at this level needs a needle with its waveform (keep_waveform)")
        return self.waveform


def needle_features(
    frontend: Frontend, waveform: NDArray[np.float32], *, keep_waveform: bool = False
) -> NeedleFeatures:
    """Compute the features of a clip.

    AST and DASS: the waveform less its mean goes through the filter bank; frames past `needle_frames` are cut, missing
    ones are raw zeros before normalisation (+0.467 after it), as in their loaders.

    Args:
        frontend: the model's front end.
        waveform: (samples,) mono float32 at the front end's rate.
        keep_waveform: whether the samples are needed later, to mix noise under them.

    Raises:
        NiahError: shorter than one frame (AST: 25 ms).
    """
    frames = frontend.frames(len(waveform))
    if frames == 0:
        raise NiahError(
            f"needle of {len(waveform)} samples: shorter than a frame ({shortest_ms(frontend):g} ms)"
        )
    mean = waveform.mean(dtype=np.float64) if frontend.removes_mean else 0.0
    under = frontend.samples(frontend.needle_frames)
    centred = (waveform[: under - frontend.lead] - mean).astype(np.float32)
    mixable = None
    if keep_waveform:
        mixable = np.pad(centred, (frontend.lead, under - frontend.lead - len(centred)))
    features = frontend.needle(torch.from_numpy(centred))
    return NeedleFeatures(features, rms(waveform), len(waveform), frames, mixable)


def shortest_ms(frontend: Frontend) -> float:
    """Return the length in milliseconds of one frame, the shortest clip that has features."""
    return 1000 * frontend.frame_length / frontend.sample_rate


def loudest_segment(needle: NeedleFeatures, count: int, *, of_samples: bool = False) -> int:
    """Return the first of the `count` consecutive frames that are loudest together.

    Loudness of a segment = mean over its frames and mel bins of the normalised log-mel. A front end's normalisation is
    monotone, so this is the mean level in decibels; frames that only pad the clip do not count, for raw zeros are
    louder than quiet sound. A clip of no more than `count` frames starts at 0; of equal segments the first is taken.

    Args:
        needle: features (frames, mels) of the clip.
        count: frames of the segment.
        of_samples: the features are rows of samples, whose loudness is the logarithm of their power.
    """
    sounding = min(needle.frames, len(needle.features))
    if sounding <= count:
        return 0
    rows = needle.features[:sounding].double()
    if of_samples:
        rows = rows.square().mean(dim=1, keepdim=True).clamp_min(_QUIETEST_POWER).log()
    levels = rows.mean(dim=1)  # (frames,)
    sums = torch.cat([levels.new_zeros(1), levels.cumsum(0)])
    return int((sums[count:] - sums[:-count]).argmax())
