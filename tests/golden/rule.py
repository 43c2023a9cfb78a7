"""The rule of the golden vectors: a weight's values follow from its key alone, an input's from its length.

Whoever has the same keys and shapes has the same weights, and no file of weights is needed. n is standard normal, drawn
from Philox keyed by the first eight bytes (little endian) of the SHA-256 of the key. The first rule that fits counts:

    key                                        value
    ..running_var                              1 + 0.1 |n|
    ..running_mean                             0.1 n
    last part with A_log                       ln(1 + |n|)
    last part D, Ds or D_b                     1 + 0.1 n
    ..dt_projs_bias, dt_proj.bias, dt_proj_b.bias    softplus^-1 of 0.001 + 0.099 (|n| mod 1)
    two axes or more, with pos_embed or token  0.02 n
    two axes or more                           n / sqrt(product of all axes but the first)
    ..weight                                   1 + 0.1 n
    any other                                  0.02 n
"""

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
_STEP_BIASES = ("dt_projs_bias", "dt_proj.bias", "dt_proj_b.bias")


def weights(key: str, shape: Sequence[int]) -> Floats:
    """Return the values of one tensor of a state dict."""
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little")
    generator = np.random.Generator(np.random.Philox(key=seed))
    n = np.asarray(generator.standard_normal(tuple(shape)), dtype=np.float32)
    return np.asarray(_values(key, n), dtype=np.float32)


def features(frames: int, mels: int = 128) -> Floats:
    """Return the input of a case, (1, frames, mels): half of standard normal numbers."""
    generator = np.random.Generator(np.random.Philox(key=7 + frames))
    return (0.5 * generator.standard_normal((1, frames, mels))).astype(np.float32)


def _values(key: str, n: Floats) -> NDArray[Any]:
    last = key.rpartition(".")[2]
    if key.endswith("running_var"):
        return np.asarray(1 + 0.1 * np.abs(n))
    if key.endswith("running_mean"):
        return 0.1 * n
    if "A_log" in last:
        return np.asarray(np.log(1 + np.abs(n)))
    if last in ("D", "Ds", "D_b"):
        return 1 + 0.1 * n
    if key.endswith(_STEP_BIASES):
        step = 0.001 + 0.099 * np.mod(np.abs(n).astype(np.float64), 1.0)
        return np.asarray(step + np.log(-np.expm1(-step)))
    if n.ndim >= 2:
        place = "pos_embed" in key or "token" in key
        return 0.02 * n if place else n / math.sqrt(math.prod(n.shape[1:]))
    return 1 + 0.1 * n if key.endswith("weight") else 0.02 * n
