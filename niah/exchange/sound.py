"""One scene as a sound file, block by block: FLAC of 16 or 24 bits, or WAV of floats.

Samples are rounded here, x * 2^(bits - 1), so that a reader that divides by 2^(bits - 1) has them to half a step
(libsndfile would scale by one step less). Nothing is clipped: a sample past full scale is an error.
"""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from niah.errors import NiahError, nearest
from niah.scenes.lazy import Scene
from niah.system.atomic import atomic_write

BLOCK_ROWS = 30_000  # 5 minutes of 10 ms
_RIFF_BYTES = 2**32 - 2**16  # a WAV's sizes are 32-bit
LARGEST_GAIN_DB = 120.0
_GAIN_STEPS = 10  # a decibel


@dataclass(frozen=True)
class SoundFormat:
    """A file format; `bits` of its whole numbers, None for floats."""

    suffix: str
    bits: int | None

    @property
    def sample_bytes(self) -> int:
        """Bytes of a sample before compression."""
        return 4 if self.bits is None else self.bits // 8

    @property
    def largest(self) -> float:
        """The largest sample, full scale being 1."""
        return math.inf if self.bits is None else 1 - 2.0 ** (1 - self.bits)


FORMATS = {
    "flac16": SoundFormat(".flac", 16),
    "flac24": SoundFormat(".flac", 24),
    "wav-float": SoundFormat(".wav", None),
}


def sound_format(name: str) -> SoundFormat:
    """Return a format by name.

    Raises:
        NiahError: unknown; the message has the nearest.
    """
    if name not in FORMATS:
        raise NiahError(f"--format '{name}': unknown.{nearest(name, FORMATS)}")
    return FORMATS[name]


def check_gain(gain_db: float | None) -> float | None:
    """Return the gain of the samples in dB, None for one that fits.

    Raises:
        NiahError: more than any sound needs.
    """
    if gain_db is not None and not abs(gain_db) <= LARGEST_GAIN_DB:
        raise NiahError(
            f"--gain must be -{LARGEST_GAIN_DB:g} to {LARGEST_GAIN_DB:g} dB, got {gain_db:g}"
        )
    return gain_db


def peak_of(scene: Scene) -> float:
    """Return the largest magnitude of a scene's samples."""
    return max(float(np.abs(block).max()) for block in _blocks(scene, 1.0))


def largest_gain(peak: float, format_: SoundFormat) -> float:
    """Return the largest gain in dB, in steps of 0.1, at which no sample is past full scale.

    Args:
        peak: largest magnitude of the samples.
        format_: of the files.
    """
    if peak == 0 or format_.bits is None:
        return math.inf
    return math.floor(_GAIN_STEPS * 20 * math.log10(format_.largest / peak)) / _GAIN_STEPS


def write_sound(
    file: Path, scene: Scene, sample_rate: int, format_: SoundFormat, gain_db: float
) -> None:
    """Write a scene, whole or not at all.

    Args:
        file: target.
        scene: rows of samples.
        sample_rate: in Hz.
        format_: of the file.
        gain_db: of all samples.

    Raises:
        NiahError: a sample past full scale; a full disk.
    """
    import soundfile

    samples = scene.shape[0] * scene.shape[1]
    subtype = "FLOAT" if format_.bits is None else f"PCM_{format_.bits}"
    kind = format_.suffix.removeprefix(".").upper()
    if kind == "WAV" and samples * format_.sample_bytes > _RIFF_BYTES:
        kind = "RF64"
    with (
        atomic_write(file) as stream,
        soundfile.SoundFile(stream, "w", sample_rate, 1, subtype=subtype, format=kind) as sound,
    ):
        for block in _blocks(scene, 10 ** (gain_db / 20)):
            sound.write(_whole_numbers(block, format_, file))


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a file's content."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _blocks(scene: Scene, gain: float) -> Iterator[NDArray[np.float32]]:
    rows, row_samples = scene.shape
    for first in range(0, rows, BLOCK_ROWS):
        out = torch.empty(min(BLOCK_ROWS, rows - first), row_samples)
        yield scene.render(out, first).numpy().reshape(-1) * np.float32(gain)


def _whole_numbers(block: NDArray[np.float32], format_: SoundFormat, file: Path) -> NDArray[Any]:
    """The samples as a file of that format takes them."""
    if format_.bits is None:
        return block
    peak = float(np.abs(block).max())
    if not peak <= format_.largest:
        raise NiahError(
            f"scene {file.stem} would clip, its peak is {peak:.2f} of full scale: take a lower --gain in a new folder, "
            "or --format wav-float"
        )
    steps = np.rint(block.astype(np.float64) * 2 ** (format_.bits - 1)).astype(np.int32)
    whole: NDArray[Any] = steps << (32 - format_.bits)  # as libsndfile takes them: the upper bits
    return whole
