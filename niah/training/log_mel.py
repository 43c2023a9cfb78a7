"""Clips as training sees them: log-mel before normalisation, where masks and missing frames are raw 0 (facts 1.9).

Front ends other than Kaldi's have no such stage in common: there the features themselves serve, and their 0.
"""

import torch
from torch import Tensor

from niah.frontends import Frontend
from niah.frontends.kaldi import KaldiFrontend


def log_mel_of_sounds(frontend: Frontend, sounds: Tensor, samples: tuple[int, ...]) -> Tensor:
    """(b, samples) zero-padded waveforms of so many real `samples` each -> (b, needle_frames, mels), cut or padded."""
    kaldi = isinstance(frontend, KaldiFrontend)
    log_mel = frontend.log_mel(frontend.energies(sounds)) if kaldi else frontend(sounds)
    missing = frontend.needle_frames - log_mel.shape[1]
    cut = log_mel[:, : frontend.needle_frames]
    padded = torch.nn.functional.pad(cut, (0, 0, 0, max(0, missing)))
    for row, count in zip(padded, samples, strict=True):
        row[frontend.frames(count) :] = 0
    return padded


def normalised(frontend: Frontend, log_mel: Tensor) -> Tensor:
    """What the network gets, of `log_mel_of_sounds`."""
    return frontend.normalise(log_mel) if isinstance(frontend, KaldiFrontend) else log_mel
