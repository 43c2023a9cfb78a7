"""Slices of a long cell: its clips in parts that different processes score, put together by whoever ends the last.

    claims/<unit>.slices.json   how the cell is cut; settled by the first process, followed by all others
    parts/<unit>.<first>.npz    logits of one slice and what they cost, whole or not at all

A slice starts at a multiple of the batch size, so that its batches, and the bits of its logits, are those of the whole
cell.
"""

import hashlib
import io
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from niah.errors import NiahError
from niah.records.claims import FOLDER as CLAIMS
from niah.system import atomic

FOLDER = "parts"
_HASH_BYTES = 32


@dataclass(frozen=True)
class Slicing:
    """The cut of a cell of `clips` clips: slices of `size` clips, scored in batches of `batch_size`."""

    clips: int
    size: int
    batch_size: int

    def slices(self) -> list[range]:
        """Return the clips of each slice."""
        starts = range(0, self.clips, self.size)
        return [range(start, min(start + self.size, self.clips)) for start in starts]

    @classmethod
    def of_seconds(
        cls, clips: int, batch_size: int, clip_s: float, slice_s: float
    ) -> "Slicing | None":
        """Cut a cell into slices of about `slice_s` seconds of work; None where it is no longer than one and a half.

        Args:
            clips: number of clips.
            batch_size: clips in a forward pass.
            clip_s: forecast of the seconds a clip takes.
            slice_s: seconds that a slice should take.
        """
        if clips * clip_s <= 1.5 * slice_s or clips <= batch_size:
            return None
        count = max(1, round(slice_s / clip_s / batch_size))
        size = min(clips, count * batch_size)
        return None if size >= clips else cls(clips, size, batch_size)


@dataclass(frozen=True)
class Part:
    """Logits (clips, classes) float32 of one slice; seconds of forward pass a clip; bytes at the peak."""

    logits: NDArray[np.float32]
    latency_s: float
    peak_memory_bytes: int
    is_padded: bool = False


def slicing_of(run: Path, unit: str) -> Slicing | None:
    """Return how a unit is cut, None where it is not, or not yet."""
    file = run / CLAIMS / f"{unit}.slices.json"
    if not file.is_file():
        return None
    content = atomic.read_json(file)
    try:
        slicing = Slicing(*(int(content[name]) for name in ("clips", "size", "batch_size")))
    except (KeyError, TypeError, ValueError) as error:
        raise NiahError(f"{file} is damaged: remove it and run the same command again") from error
    return slicing


def settle_slicing(run: Path, unit: str, slicing: Slicing) -> Slicing:
    """Have a unit cut as `slicing`, or as another process settled before; return how it is cut."""
    atomic.create_json(run / CLAIMS / f"{unit}.slices.json", vars(slicing))
    return slicing_of(run, unit) or slicing


def write_part(run: Path, unit: str, first: int, part: Part) -> None:
    """Store a slice's logits, whole or not at all.

    Args:
        run: run directory.
        unit: of the cell.
        first: number of the slice's first clip.
        part: logits and costs.
    """
    content = io.BytesIO()
    np.savez(
        content,
        logits=part.logits,
        costs=np.array([part.latency_s, part.peak_memory_bytes, part.is_padded], np.float64),
    )
    with atomic.one_line_os_errors(run):
        (run / FOLDER).mkdir(exist_ok=True)
    with atomic.atomic_write(_file(run, unit, first)) as stream:
        stream.write(hashlib.sha256(content.getbuffer()).digest() + content.getvalue())


def read_part(run: Path, unit: str, clips: range) -> Part | None:
    """Return a stored slice; None where it is missing, damaged or of other clips."""
    try:
        stored = _file(run, unit, clips.start).read_bytes()
    except OSError:
        return None
    content = stored[_HASH_BYTES:]
    if hashlib.sha256(content).digest() != stored[:_HASH_BYTES]:
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        logits, costs = arrays["logits"], arrays["costs"]
    if len(logits) != len(clips):
        return None
    return Part(logits, float(costs[0]), int(costs[1]), bool(costs[2]))


def joined(parts: Sequence[Part]) -> Part:
    """Return the whole cell: logits in order, the median latency, the highest peak."""
    return Part(
        np.concatenate([part.logits for part in parts]),
        median(part.latency_s for part in parts),
        max(part.peak_memory_bytes for part in parts),
        any(part.is_padded for part in parts),
    )


def remove_parts(run: Path, unit: str) -> None:
    """Remove the slices of a unit whose cell is stored, and how it was cut."""
    for file in (run / FOLDER).glob(f"{unit}.*.npz"):
        with suppress(OSError):
            file.unlink(missing_ok=True)
    with suppress(OSError):
        (run / CLAIMS / f"{unit}.slices.json").unlink(missing_ok=True)
    with suppress(OSError):
        (run / FOLDER).rmdir()


def _file(run: Path, unit: str, first: int) -> Path:
    return run / FOLDER / f"{unit}.{first}.npz"
