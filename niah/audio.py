"""Sound files in, mono float32 out; bad files are named, with the reason.

Any format that libsndfile reads. Channels are averaged and the sample rate is changed with soxr
"HQ"; both leave a note, because a benchmark should say when it touched its input.
"""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from niah.errors import NiahError

if TYPE_CHECKING:
    from soundfile import SoundFile

Reason = Literal["missing", "not-audio", "truncated", "empty", "silent", "nan"]

_RIFF_UNKNOWN_SIZES = {0, 0xFFFFFFFF}  # written by encoders that stream to a pipe


class AudioError(NiahError):
    """A file that cannot serve as a sound; `reason` is one of `Reason`, for counting."""

    def __init__(self, name: str, reason: Reason, told: str) -> None:
        super().__init__(f"{name}: {told}")
        self.name = name
        self.reason: Reason = reason


@dataclass(frozen=True)
class Waveform:
    """Mono sound: `samples` (n,) float32, full scale 1, and what was done to the file's."""

    samples: NDArray[np.float32]
    sample_rate: int
    notes: tuple[str, ...] = ()

    @property
    def duration_s(self) -> float:
        return len(self.samples) / self.sample_rate


def rms(x: NDArray[np.floating]) -> float:
    """sqrt(mean(x^2)), summed in float64; the mean is not removed. 0 for no samples."""
    if x.size == 0:
        return 0.0
    x64 = np.asarray(x, dtype=np.float64).ravel()
    return float(np.sqrt(np.dot(x64, x64) / x64.size))


def load(source: Path | bytes, sample_rate: int, *, name: str | None = None) -> Waveform:
    """Read a sound as mono float32 at `sample_rate`.

    Args:
        source: a file, or the bytes of one.
        sample_rate: wanted rate in Hz.
        name: what to call it in messages and errors; the path by default.

    Raises:
        AudioError: the file is missing, not audio, truncated (its header promises more than there
        is),
            without samples, silent (one constant value throughout) or holds NaN or infinity.
    """
    name = name or (str(source) if isinstance(source, Path) else "audio bytes")
    samples, rate = _decode(source, name)
    notes: list[str] = []
    if samples.shape[1] > 1:
        notes.append(
            "stereo averaged" if samples.shape[1] == 2 else f"{samples.shape[1]} channels averaged"
        )
    mono = np.ascontiguousarray(samples.mean(axis=1) if samples.shape[1] > 1 else samples[:, 0])
    if not np.isfinite(mono).all():
        raise AudioError(name, "nan", "holds NaN or infinite samples; export it again")
    if np.ptp(mono) == 0:
        raise AudioError(name, "silent", "is silent (every sample has the same value)")
    if rate != sample_rate:
        notes.append(f"resampled from {rate} Hz")
        mono = _resample(mono, rate, sample_rate)
        if len(mono) == 0:
            raise AudioError(name, "empty", f"is too short to resample to {sample_rate} Hz")
    return Waveform(mono, sample_rate, tuple(notes))


def _resample(mono: NDArray[np.float32], rate: int, wanted: int) -> NDArray[np.float32]:
    import soxr

    return np.asarray(soxr.resample(mono, rate, wanted, quality="HQ"), dtype=np.float32)


def _decode(source: Path | bytes, name: str) -> tuple[NDArray[np.float32], int]:
    """(frames, channels) float32 and the file's sample rate."""
    import soundfile

    content = _read(source, name)
    if not content:
        raise AudioError(name, "empty", "is an empty file (0 bytes)")
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as sound:
            promised, rate = sound.frames, sound.samplerate
            cut = _promises_more(content)
            samples = _read_frames(sound, name)
    except soundfile.LibsndfileError as error:
        raise AudioError(
            name, "not-audio", f"is not a sound file that libsndfile can read ({error})"
        ) from error
    if cut or len(samples) < promised:
        raise AudioError(
            name, "truncated", "is truncated: its header promises more samples than the file holds"
        )
    if len(samples) == 0:
        raise AudioError(name, "empty", "has no samples")
    return samples, rate


def _read(source: Path | bytes, name: str) -> bytes:
    if isinstance(source, bytes):
        return source
    try:
        return source.read_bytes()
    except FileNotFoundError as error:
        raise AudioError(name, "missing", "no such file") from error
    except IsADirectoryError as error:
        raise AudioError(name, "not-audio", "is a folder, not a sound file") from error
    except OSError as error:
        raise AudioError(name, "missing", f"cannot be read ({error.strerror})") from error


def _read_frames(sound: "SoundFile", name: str) -> NDArray[np.float32]:
    """All frames; a decoder that gives up part of the way lacks the end, or met damage."""
    import soundfile

    try:
        return np.asarray(sound.read(dtype="float32", always_2d=True))
    except soundfile.LibsndfileError as error:
        raise AudioError(
            name, "truncated", f"is truncated or damaged: decoding stopped ({error})"
        ) from error


def _promises_more(content: bytes) -> bool:
    """True if a WAV's `data` chunk or an Ogg page reaches past the end of the file.

    libsndfile silently shortens both; every other container tells through its frame count.
    """
    if content[:4] == b"RIFF" and content[8:12] == b"WAVE":
        return any(
            kind == b"data" and size not in _RIFF_UNKNOWN_SIZES and start + size > len(content)
            for kind, start, size in _riff_chunks(content)
        )
    if content[:4] == b"OggS":
        return _last_ogg_page_end(content) > len(content)
    return False


def _riff_chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(id, first byte, size) of each chunk, RIFF WAVE."""
    position = 12
    while position + 8 <= len(content):
        kind, size = struct.unpack_from("<4sI", content, position)
        yield kind, position + 8, size
        position += 8 + size + size % 2  # chunks are padded to even length


def _last_ogg_page_end(content: bytes) -> int:
    """Byte after the last Ogg page, as its lacing values say (RFC 3533, section 6)."""
    page = content.rfind(b"OggS")
    if page + 27 > len(content):
        return page + 27
    n_segments = content[page + 26]
    if page + 27 + n_segments > len(content):
        return page + 27 + n_segments
    return page + 27 + n_segments + sum(content[page + 27 : page + 27 + n_segments])
