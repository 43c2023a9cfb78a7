"""Random numbers that depend on a key alone: never on a global seed, an order of calls, or a machine."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def keyed_generator(*parts: object, block: int = 0) -> np.random.Generator:
    """Philox keyed by the SHA-256 of the parts' text; `block` picks one of 2^64 streams."""
    digest = hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).digest()
    key = np.frombuffer(digest[:16], dtype="<u8").astype(np.uint64)
    counter = np.array([0, 0, 0, block], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


@contextmanager
def torch_seed(seed: int, device: "torch.device | None" = None) -> Iterator[None]:
    """Seed what torch draws without a generator (module starts, drop path) within the block, and nothing after it.

    The CPU's global generator, and that of `device` where it is a CUDA device, are put back as they were.
    """
    import torch

    devices = [device] if device is not None and device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
