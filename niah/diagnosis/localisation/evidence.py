"""Evidence of a class along the time of a scene.

Two methods give a curve v_t for each class, one value a place in time:

    positions   if the head is linear and follows an average, a logit is the mean of the logits at every position of the
                last map: v_t = mean over mel rows of the logits of time column t, and mean_t v_t is the logit. Exact
                and free, but only for such models (DASS).
    occlusion   d_w = logit(scene) - logit(scene whose window w is replaced by its haystack), the contribution of the
                window; v_t = mean of d_w over the windows that cover place t, with places one hop wide (Zeiler and
                Fergus, arXiv 1311.2901, section 4.2, along time only). For any adapter; costs a forward pass a window.

The model heard the needle where its curve is highest. A hit is a peak at most `TOLERANCE_S` from the centre of the
clip's sound (its frames before padding); the error is that distance in seconds. If several places share the highest
value, hit and error are their means, so that a flat curve scores as a guess does. A guess takes every place of the same
curve with equal probability: its hit rate and its median error are reported beside the model's.

Glossary: B batch, T0 frames, M mels, T time columns, W windows; times in seconds from the scene's start.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from niah.adapters.protocol import Adapter, network_of
from niah.adapters.scoring import scored
from niah.adapters.wrappers.pooled import has_position_logits, position_logits_of
from niah.errors import NiahError
from niah.networks.dass.network import Dass, Stage
from niah.placement import FRAMES_PER_SECOND

Method = Literal["positions", "occlusion"]
METHODS: tuple[Method, ...] = ("positions", "occlusion")
TOLERANCE_S = 5.0
WINDOW_S, HOP_S = (
    10.0,
    5.0,
)  # occlusion: as long as a needle; every place is within 2.5 s of a window's centre

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """Evidence `values` (places, classes) at `centres_s` (places,), each place `width_s` seconds wide."""

    method: Method
    centres_s: Floats
    values: NDArray[np.float32]
    width_s: float


@dataclass(frozen=True)
class Peak:
    """The peak of one class in one scene: `hit` in 0..1 (a share where places tie), and the values of a guess."""

    peak_s: float
    hit: float
    error_s: float
    chance_hit: float
    chance_error_s: float


def has_positions(adapter: Adapter) -> bool:
    """Return whether the adapter has logits at every position of its last map."""
    return has_position_logits(adapter)


def position_curve(adapter: Adapter, scene: Tensor) -> Curve:
    """Compute the exact curve of all classes in one scene.

    Args:
        adapter: it, or its network, has `position_logits(features (B, T0, M)) -> (B, T, .., classes)`.
        scene: (T0, M) features.

    Returns:
        One place a time column.

    Raises:
        NiahError: the adapter has no such logits.
    """
    if not has_positions(adapter):
        raise NiahError(
            f"model '{adapter.name}' has no logits by position (its head is not linear after an average): use occlusion"
        )
    with torch.inference_mode():
        logits = position_logits_of(adapter)(scene[None])[0].float()
        columns = logits.reshape(logits.shape[0], -1, logits.shape[-1]).mean(dim=1).cpu()
    centres, step = column_centres(network_of(adapter), len(scene), len(columns))
    return Curve("positions", _seconds(centres), columns.numpy(), step / FRAMES_PER_SECOND)


def occlusion_curve(
    adapter: Adapter,
    scene: Tensor,
    filling: Tensor,
    *,
    window_s: float = WINDOW_S,
    hop_s: float = HOP_S,
    batch_size: int = 1,
    advance: Callable[[int], None] = lambda _: None,
) -> Curve:
    """Compute the occlusion curve of all classes in one scene.

    Windows extend past both ends of the scene, so that equally many cover every place: otherwise the outermost places
    would depend on one window only, and could be the peak without a sound there.

    Args:
        adapter: the model.
        scene: (T0, M) features.
        filling: (T0, M) features in place of a hidden window, of the same scene without its needle; or one row (M,).
        window_s: seconds of a window.
        hop_s: seconds from one window to the next.
        batch_size: windows in one forward pass.
        advance: gets the number of windows done.

    Returns:
        One place a hop.

    Raises:
        NiahError: a filling of another shape, or not one frame <= hop <= window.
    """
    frames, hop = round(window_s * FRAMES_PER_SECOND), round(hop_s * FRAMES_PER_SECOND)
    if not 1 <= hop <= frames:
        raise NiahError(
            f"hop must be 0.01 s (a frame) to the window's {window_s:g} s but is {hop_s:g} s"
        )
    if filling.shape not in (scene.shape, scene.shape[1:]):
        raise NiahError(
            f"filling must be {tuple(scene.shape)} or one row but is {tuple(filling.shape)}"
        )
    filling = filling.expand_as(scene)
    starts = range(hop - frames, len(scene), hop)
    # a copy: the scene is used below, and a user's model may change its input
    whole = scored(adapter, scene[None].clone())[0]
    lost = []
    for some in _chunks(starts, batch_size):
        hidden = scene.repeat(len(some), 1, 1)
        for row, start in zip(hidden, some, strict=True):
            covered = slice(max(0, start), start + frames)
            row[covered] = filling[covered]
        lost.append(whole - scored(adapter, hidden))
        advance(len(some))
    edges = np.append(np.arange(0, len(scene), hop), len(scene))
    centres = (edges[:-1] + edges[1:]) / 2
    values = _cover(np.array(starts), frames, centres) @ torch.cat(lost).numpy()
    return Curve("occlusion", _seconds(centres), values.astype(np.float32), hop_s)


def _cover(starts: NDArray[np.int64], frames: int, centres: Floats) -> Floats:
    """Return weights (places, windows): each row is the mean over the windows that cover a place's centre."""
    offset = centres[:, None] - starts[None]
    covers = ((offset >= 0) & (offset < frames)).astype(np.float64)
    return np.asarray(covers / covers.sum(axis=1, keepdims=True))


def find(
    centres_s: Floats,
    values: NDArray[Any],
    target_s: float,
    tolerance_s: float = TOLERANCE_S,
) -> Peak:
    """Find the peak of one class's curve, and compare it with the true time (module docstring).

    Args:
        centres_s: (places,) seconds.
        values: (places,) evidence.
        target_s: centre of the clip's sound, in seconds.
        tolerance_s: largest distance of a hit.

    Raises:
        NiahError: no place, or a value that is not finite.
    """
    if values.size == 0 or values.shape != centres_s.shape or not np.isfinite(values).all():
        raise NiahError(
            f"a curve needs finite values, one a place, but has {values.shape} for {centres_s.shape}"
        )
    off = np.abs(centres_s - target_s)
    highest = values == values.max()
    return Peak(
        peak_s=float(centres_s[highest][0]),
        hit=float((off[highest] <= tolerance_s).mean()),
        error_s=float(off[highest].mean()),
        chance_hit=float((off <= tolerance_s).mean()),
        chance_error_s=float(np.median(off)),
    )


def column_centres(network: object, frames: int, columns: int) -> tuple[Floats, float]:
    """Compute the centres of the time columns of a last map.

    DASS: column j of a convolution with kernel K, stride S and padding P is centred on input column
    S j + (K - 1) / 2 - P. Columns of other networks are taken to share the scene equally.

    Args:
        network: of the model.
        frames: of the scene.
        columns: of the map.

    Returns:
        Centres (columns,) in frames, and frames from one to the next.
    """
    if not isinstance(network, Dass):
        step = frames / columns
        return np.asarray((np.arange(columns) + 0.5) * step), step
    step, first = 1.0, 0.5  # a frame is centred half a frame after its start
    for conv in _convolutions_along(network):
        kernel, stride, padding = (
            float(each[1]) for each in (conv.kernel_size, conv.stride, conv.padding)
        )
        first += step * ((kernel - 1) / 2 - padding)
        step *= stride
    return np.asarray(first + step * np.arange(columns)), step


def _convolutions_along(network: Dass) -> Iterator[nn.Conv2d]:
    """Iterate over the convolutions between maps; those inside blocks do not move columns."""
    parts: list[nn.Module] = [network.patch_embed]
    parts += [stage.downsample for stage in network.layers if isinstance(stage, Stage)]
    return (layer for part in parts for layer in part.modules() if isinstance(layer, nn.Conv2d))


def _seconds(frames: Floats) -> Floats:
    return np.asarray(frames, dtype=np.float64) / FRAMES_PER_SECOND


def _chunks(starts: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    return (starts[first : first + size] for first in range(0, len(starts), size))
