"""`niah models verify`: does a checkpoint load, and does the adapter keep its promises at several lengths?"""

import time
from collections.abc import Iterator, Sequence

import torch

from niah.adapters import choose_device, load_model
from niah.errors import NiahError
from niah.placement import total_frames


def verify(
    name: str, checkpoint: str | None, lengths_s: Sequence[float], device: str
) -> Iterator[str]:
    """Lines that say what was found.

    Raises:
        NiahError: the weights do not load, or logits of another shape, type or with NaN.
    """
    adapter = load_model(name, checkpoint, device=str(choose_device(device)))
    classes = f"{len(adapter.labels)} classes ({adapter.labels.name})"
    yield f"{adapter.name}: loads strictly; kernel {adapter.kernel}; {classes}"
    generator = torch.Generator().manual_seed(0)
    for length in lengths_s:
        frames = total_frames(length)
        features = 0.5 * torch.randn(1, frames, adapter.frontend.mels, generator=generator)
        begin = time.perf_counter()
        try:
            logits = adapter.logits(features)
        except NiahError as error:
            yield f"{length:g} s: no native mode: {error}"
            continue
        seconds = time.perf_counter() - begin
        _check(adapter.name, logits, len(adapter.labels), length)
        yield (
            f"{length:g} s ({frames} frames): {seconds:.2f} s, {length / seconds:.0f} x real time; "
            f"logits {float(logits.min()):.2f} to {float(logits.max()):.2f}"
        )


def _check(name: str, logits: torch.Tensor, classes: int, length_s: float) -> None:
    if tuple(logits.shape) != (1, classes):
        raise NiahError(
            f"{name} at {length_s:g} s: logits are {tuple(logits.shape)}, not (1, {classes}) as its labels say"
        )
    if logits.dtype != torch.float32:
        raise NiahError(f"{name} at {length_s:g} s: logits are {logits.dtype}, not float32")
    if not bool(torch.isfinite(logits).all()):
        raise NiahError(f"{name} at {length_s:g} s: logits hold NaN or infinity")
