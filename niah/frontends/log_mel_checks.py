"""Checks of a card's front end: which values of [frontend] make none, and why."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from niah.errors import nearest

if TYPE_CHECKING:
    from niah.frontends.log_mel import LogMelFrontend

_CHOICES = {
    "window": ("hann", "hamming", "blackman", "bartlett", "rectangular"),
    "window_pad": ("both", "end"),
    "pad_mode": ("reflect", "constant"),
    "mel_scale": ("htk", "slaney", "kaldi"),
    "norm": ("none", "slaney"),
    "log": ("ln", "log10", "dB"),
}
_LARGEST = 1 << 20  # of samples, bins and frames


def problems_of(frontend: "LogMelFrontend") -> Iterator[str]:
    """Yield each value of a front end that makes none, with its key as the first word."""
    for name, choices in _CHOICES.items():
        value = getattr(frontend, name)
        if value not in choices:
            yield f"{name} must be {' or '.join(choices)} but {value!r} was given.{nearest(value, choices)}"
    for name in ("sample_rate", "n_fft", "hop_length", "n_mels", "win_length"):
        if not 1 <= getattr(frontend, name) <= _LARGEST:
            yield f"{name} must be 1 to {_LARGEST} but {getattr(frontend, name)} was given"
    if frontend.n_fft % 2:
        yield f"n_fft must be even but {frontend.n_fft} was given"
    if frontend.win_length > frontend.n_fft:
        yield f"win_length must be at most n_fft ({frontend.n_fft}) but {frontend.win_length} was given"
    if frontend.power not in (1, 2):
        yield f"power must be 1 (magnitude) or 2 but {frontend.power} was given"
    if not 0 <= frontend.f_min < frontend.high_hz:
        yield f"f_min must be 0 Hz or more and below f_max ({frontend.high_hz:g}) but {frontend.f_min:g} was given"
    nyquist_hz = frontend.sample_rate / 2
    if not frontend.high_hz <= nyquist_hz:
        yield f"f_max must be at most half the sample rate ({nyquist_hz:g} Hz) but {frontend.high_hz:g} was given"
    if frontend.center and frontend.window_pad == "end":
        yield "window_pad must be both where center is true: zeros behind the window are for frames that begin at it"
    if frontend.mel_scale == "kaldi" and frontend.norm != "none":
        yield "norm must be none where mel_scale is kaldi"
    yield from _problems_of_values(frontend)


def _problems_of_values(frontend: "LogMelFrontend") -> Iterator[str]:
    if frontend.top_db != "none":
        yield (
            f"top_db must be none but {frontend.top_db!r} was given: a floor below the loudest frame would let each "
            "frame hear the whole scene"
        )
    for name in ("offset", "floor"):
        if not 0 <= getattr(frontend, name) < math.inf:
            yield f"{name} must be 0 or more but {getattr(frontend, name)} was given"
    if (frontend.offset > 0) == (frontend.floor > 0):
        yield f"offset or floor must be above 0, one of the two, but {frontend.offset} and {frontend.floor} were given"
    if not math.isfinite(frontend.mean):
        yield f"mean must be finite but {frontend.mean} was given"
    if not 0 < frontend.std < math.inf:
        yield f"std must be above 0 but {frontend.std} was given"
    if len(frontend.mean_log_mel) not in (0, 1, frontend.n_mels):
        yield f"mean_log_mel must have 1 value or {frontend.n_mels} but {len(frontend.mean_log_mel)} were given"
    if not all(map(math.isfinite, frontend.mean_log_mel)):
        yield "mean_log_mel must be finite"
    if not 0 <= frontend.patch_frames <= _LARGEST:
        yield f"patch_frames must be 0 (no patches) to {_LARGEST} but {frontend.patch_frames} was given"
    if not (0 <= frontend.patch_hop <= frontend.patch_frames):
        yield (
            f"patch_hop must be 1 to patch_frames ({frontend.patch_frames}), or frames lie between patches, "
            f"but {frontend.patch_hop} was given"
        )
