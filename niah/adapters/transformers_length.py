"""The longest input of a model of `transformers`: what its feature extractor keeps, and what its network takes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from niah.errors import NiahError
from niah.system.memory import is_out_of_memory

ANY_LENGTH = ("Wav2Vec2FeatureExtractor", "SeamlessM4TFeatureExtractor")
PROBE_S = 64
_SHORTEST_S = 0.5  # a network that does not take so little takes nothing
_END_S = 0.25  # of an input: what must leave a trace
_TRACE = 1e-3


def fixed_seconds(extractor: Any, rate: int) -> float | None:
    """Return the seconds that a feature extractor cuts or pads to, in whole 10 ms; None: it takes any length.

    Args:
        extractor: of `transformers`.
        rate: its sampling rate in Hz.
    """
    kind = type(extractor).__name__
    if kind == "ASTFeatureExtractor":
        return int(extractor.max_length) / 100  # frames of 10 ms
    for samples in ("nb_max_samples", "n_samples"):  # CLAP, Whisper
        if isinstance(longest := getattr(extractor, samples, None), int):
            return int(100 * longest / rate) / 100
    if kind in ANY_LENGTH or hears_end(extractor, PROBE_S * rate, rate):
        return None
    row = rate // 100
    low, high = (
        1,
        PROBE_S * 100,
    )  # rows of 10 ms: the end of `low` leaves a trace, that of `high` none
    while high - low > 1:
        middle = (low + high) // 2
        heard = hears_end(extractor, middle * row, rate)
        low, high = (middle, high) if heard else (low, middle)
    return (
        max(1, low - round(100 * _END_S) + 1) / 100
    )  # the last quarter of a second begins before the cut


def hears_end(extractor: Any, samples: int, rate: int) -> bool:
    """Return whether the end of an input leaves a trace in its features.

    Args:
        extractor: of `transformers`.
        samples: length of the input.
        rate: its sampling rate in Hz.
    """
    generator = np.random.Generator(np.random.Philox(0))
    one = 0.1 * generator.standard_normal(samples, np.float32)
    other: NDArray[np.float32] = one.copy()
    end = max(1, min(samples, round(_END_S * rate)))
    other[-end:] = generator.permutation(
        one[-end:]
    )  # the same level: a normalisation does not tell them apart
    features = [extracted(extractor, each[None], rate) for each in (one, other)]
    return any(
        value.shape != features[1][name].shape
        or float((value.double() - features[1][name].double()).abs().max()) > _TRACE
        for name, value in features[0].items()
    )


def extracted(extractor: Any, waves: NDArray[np.float32], rate: int) -> dict[str, Tensor]:
    """Compute features of waveforms of one length, of each by itself.

    An extractor may normalise over all that it is called with (CED's floor lies under the loudest of it), so that a
    clip's features would depend on its company.

    Args:
        extractor: of `transformers`.
        waves: (B, samples).
        rate: its sampling rate in Hz.

    Returns:
        The tensors that the model's forward takes, each with B rows.
    """
    alone = [dict(extractor([wave], sampling_rate=rate, return_tensors="pt")) for wave in waves]
    return {
        name: torch.cat([features[name] for features in alone])
        for name, value in alone[0].items()
        if isinstance(value, Tensor)
    }


def to_device(inputs: dict[str, Tensor], model: Any) -> dict[str, Tensor]:
    """Move features to a model's device; those that are real numbers to its dtype."""
    return {
        name: value.to(model.device, model.dtype if value.is_floating_point() else value.dtype)
        for name, value in inputs.items()
    }


def longest_input_s(call: Callable[[Tensor], object], rate: int, most_s: float) -> float | None:
    """Find the longest input that a network takes, by experiment: its positions may end before the extractor's.

    Args:
        call: the model, of (1, samples) float32.
        rate: sampling rate in Hz.
        most_s: longest input in seconds that is tried.

    Returns:
        Seconds, in whole 10 ms; None where `most_s` are taken.

    Raises:
        NiahError: the network takes no input; the message is its own.
    """

    def refusal(rows: int) -> str:
        wave = np.random.Generator(np.random.Philox(0)).standard_normal(rows * (rate // 100))
        try:
            call(0.1 * torch.from_numpy(wave.astype(np.float32))[None])
        except Exception as error:  # a network may raise anything
            return "" if is_out_of_memory(error) else in_one_line(error)
        return ""

    low, high = round(100 * _SHORTEST_S), max(1, int(100 * most_s))
    if not (reason := refusal(high)):
        return None
    if high <= low or refusal(low):
        raise NiahError(reason)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if refusal(middle) else (middle, high)
    return low / 100


def in_one_line(error: BaseException) -> str:
    """Return an exception's kind and the begin of its message."""
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
