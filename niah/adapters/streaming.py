"""Models that are fed a recording piece by piece: their protocol, and what feeds any model so.

    state     the model carries its own state from piece to piece: what it says is that of one pass over all so far
    windows   any other model on the last W seconds, again after every piece

A model carries its state if it has two methods:

    start() -> state                             before the first piece
    step(state, frames) -> (state, logits)       after the next piece, which may be of any length, also 0

An adapter's `step` gets features (1, n, mels), a waveform model's a waveform (1, samples). `state` is whatever the
model likes, and is not changed by `step`; logits are (1, classes), of all that was heard since `start`, or None as long
as that is too little. The causal forms of AuM and SSAMBA have these methods (`niah.networks.aum`). Networks that scan
from the end too, as DASS and the official AuM and SSAMBA do, have no state to carry: every output depends on what is
still to come.
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from sys import getsizeof
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from niah.adapters.network_adapter import NetworkAdapter
from niah.adapters.protocol import Adapter, network_of
from niah.adapters.scoring import scored
from niah.adapters.waveform import WaveformAdapter
from niah.errors import NiahError

STATE, WINDOWS = "state", "windows"


@runtime_checkable
class Streams(Protocol):
    """A model that carries its state (module docstring)."""

    def start(self) -> Any: ...

    def step(self, state: Any, frames: Tensor) -> tuple[Any, Tensor | None]: ...


class _NetworkStream:
    """The network of an adapter, on its device and in its dtype."""

    def __init__(self, adapter: NetworkAdapter, network: Streams) -> None:
        self._adapter, self._network = adapter, network

    def start(self) -> Any:
        return self._network.start()

    def step(self, state: Any, frames: Tensor) -> tuple[Any, Tensor | None]:
        return self._network.step(state, frames.to(self._adapter.device, self._adapter.dtype))


class _WaveformStream:
    """A waveform model fed with rows of samples."""

    def __init__(self, model: Streams) -> None:
        self._model = model

    def start(self) -> Any:
        return self._model.start()

    def step(self, state: Any, frames: Tensor) -> tuple[Any, Tensor | None]:
        return self._model.step(state, frames.reshape(len(frames), -1))


class WindowStream:
    """The last window of an adapter, scored again after every piece; its state are the window's frames.

    Until a window is full, what was heard is padded as the front end pads a short clip.

    Args:
        adapter: scores each window.
        frames: of a window.
    """

    def __init__(self, adapter: Adapter, frames: int) -> None:
        self.frames = frames
        self._adapter = adapter
        frontend = adapter.frontend
        self._padding = frontend.needle(torch.zeros(frontend.samples(1)))[-1]  # only pads

    def start(self) -> Tensor:
        """Return an empty window, (1, 0, mels)."""
        return torch.empty(1, 0, len(self._padding))

    def step(self, state: Tensor, frames: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the window after some frames, and its logits."""
        heard = torch.cat([state, frames], dim=1)[:, -self.frames :].clone()
        if not heard.shape[1]:
            return heard, None
        missing = self._padding.expand(1, self.frames - heard.shape[1], -1)
        return heard, scored(self._adapter, torch.cat([heard, missing], dim=1))


def carried_stream(adapter: Adapter) -> Streams | None:
    """Return what carries the model's state; None for a model that has none to carry."""
    if isinstance(adapter, NetworkAdapter):
        network = _streaming(network_of(adapter))
        return None if network is None else _NetworkStream(adapter, network)
    if isinstance(adapter, WaveformAdapter):
        model = _streaming(adapter.model)
        return None if model is None else _WaveformStream(model)
    return _streaming(adapter)


def _streaming(model: object) -> Streams | None:
    """Return the object if it carries a state; one with `streams` says whether it does."""
    return model if isinstance(model, Streams) and getattr(model, "streams", True) else None


@torch.inference_mode()
def next_logits(stream: Streams, state: Any, frames: Tensor, classes: int) -> tuple[Any, Any]:
    """Feed one piece, and check what comes back.

    Args:
        stream: the model.
        state: after the pieces before.
        frames: (1, n, mels).
        classes: number of the model's classes.

    Returns:
        The new state, and (classes,) float32; minus infinity where the model has not heard enough.

    Raises:
        NiahError: logits of another shape or that are no number.
    """
    state, logits = stream.step(state, frames)
    if logits is None:
        return state, np.full(classes, -np.inf, dtype=np.float32)
    said = torch.as_tensor(logits).detach().float().cpu().numpy()
    if said.shape != (1, classes):
        raise NiahError(f"step: logits must be (1, {classes}) or None, got {said.shape}")
    if np.isnan(said).any():
        raise NiahError("step: logits are NaN")
    return state, said[0]


def state_bytes(state: Any) -> int:
    """Count the bytes of the tensors, arrays and buffers in a state; objects by their attributes.

    A tensor that is a view counts with all the memory that it keeps.
    """
    storages: dict[int, int] = {}
    others = _collect(state, storages, set())
    return others + sum(storages.values())


def _collect(value: Any, storages: dict[int, int], seen: set[int]) -> int:
    """Note the tensors' storages by address; return the bytes of everything else."""
    if value is None or isinstance(value, bool | int | float | complex | str) or id(value) in seen:
        return 0
    seen.add(id(value))
    if isinstance(value, Tensor):
        storage = value.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return 0
    if isinstance(value, np.ndarray):
        base = value if value.base is None else value.base
        return int(base.nbytes) if isinstance(base, np.ndarray) else int(value.nbytes)
    if isinstance(value, bytes | bytearray):
        return getsizeof(value)
    if isinstance(value, Mapping):
        return sum(_collect(each, storages, seen) for each in value.values())
    if is_dataclass(value):
        own = (getattr(value, field.name) for field in fields(value))
        return sum(_collect(each, storages, seen) for each in own)
    if hasattr(value, "__iter__") and hasattr(value, "__len__"):
        return sum(_collect(each, storages, seen) for each in value)
    return sum(_collect(each, storages, seen) for each in getattr(value, "__dict__", {}).values())
