"""A sound file's bytes to mono float32 samples at a wanted rate.

Any format that libsndfile reads. Channels are averaged and the sample rate is changed with soxr "HQ"; both leave a
note, because a benchmark should say when it touched its input. Files are decoded in blocks: what a header says of its
length allocates nothing.
"""

import hashlib
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from niah.audio import containers, foreign, mpeg, ogg
from niah.audio.mono import check_rate, mono_sound
from niah.audio.waveform import AudioError, Waveform

if TYPE_CHECKING:
    from soundfile import SoundFile

AUDIO_SUFFIXES = frozenset(
    (
        *(".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au"),
        *(".snd", ".w64", ".rf64", ".caf"),
    )
)
"""Suffixes by which sound files that libsndfile reads are found in folders."""

LONGEST_S = 25 * 3600.0  # of a recording: a day and some; beyond it memory would end first
_FLAC = b"fLaC"
_CONTAINERS = (b"RIFF", b"RIFX", b"RF64", b"OggS", _FLAC, b"FORM", b"caff", b".snd")  # no MP3
_CUT = "is truncated: its header promises more samples than the file holds"
BACKSLASHES = "write / in place of backslashes, which part no folders here (paths of Windows)"
_UNKNOWN = 1 << 40  # frames; libsndfile's word for a length that is not known is larger
_BLOCK = 1 << 16  # frames
_VORBIS_SLACK_S = 0.05  # that a whole stream may lack at its end


def load(
    source: Path | bytes,
    sample_rate: int,
    *,
    name: str | None = None,
    longest_s: float = LONGEST_S,
    allow_silence: bool = False,
) -> Waveform:
    """Read a sound as mono float32 at `sample_rate`.

    Args:
        source: a file, or the bytes of one.
        sample_rate: wanted rate in Hz.
        name: what to call it in messages and errors; the path by default.
        longest_s: seconds after which decoding stops and the file is refused.
        allow_silence: take silence for a sound (training does).

    Returns:
        (n,) samples, full scale 1, with a note for each thing that was changed.

    Raises:
        AudioError: the file is missing, no regular file, not audio, truncated (its header promises more than there is),
            without samples, silent (one constant value throughout, or channels that cancel out), longer than
            `longest_s`, far beyond full scale, of a rate outside 1 to 768 kHz, or holds NaN or infinity.
    """
    name = name or (_printable(source) if isinstance(source, Path) else "audio bytes")
    samples, rate, notes = _decode(_read(source, name), name, longest_s)
    return mono_sound(samples, rate, sample_rate, name, notes, allow_silence=allow_silence)


def decode_file(path: Path) -> tuple[NDArray[np.float32], int]:
    """Decode a whole recording as it is stored.

    Args:
        path: the file.

    Returns:
        (frames, channels) samples, and their rate in Hz.

    Raises:
        AudioError: as `load`, but for its checks of the sound itself.
    """
    name = _printable(path)
    samples, rate, _ = _decode(_read(path, name), name, LONGEST_S)
    return samples, rate


def _decode(
    content: bytes, name: str, longest_s: float
) -> tuple[NDArray[np.float32], int, list[str]]:
    """Return (frames, channels) float32, the file's sample rate, and what was changed."""
    if not content:
        raise AudioError(name, "empty", "is an empty file (0 bytes)")
    links, notes, is_cut = _streams(_untagged(content))
    stated = [containers.flac_frames(link) if _is_flac(link) else 0 for link in links]
    parts = [
        _decode_stream(link, name, longest_s, frames)
        for link, frames in zip(links, stated, strict=True)
    ]
    if len({(part.samples.shape[1], part.rate) for part in parts}) > 1:
        raise AudioError(
            name, "not-audio", "chains streams of different rates or channels: part it"
        )
    samples = parts[0].samples
    if len(parts) > 1:
        samples = np.concatenate([part.samples for part in parts])
    for link, part in zip(links, parts, strict=True):
        is_cut |= len(part.samples) < ogg.vorbis_frames(link) - _VORBIS_SLACK_S * part.rate
    for part, frames in zip(parts, stated, strict=True):
        is_cut |= len(part.samples) < frames
        if 0 < frames < len(part.samples):
            notes.append(containers.SMALLER)
    if is_cut:
        raise AudioError(name, "truncated", _CUT)
    if parts[0].container in containers.WITHOUT_LENGTH:
        notes.append(
            f"{parts[0].container} states no length: nothing says whether the file is whole"
        )
    return samples, parts[0].rate, notes


def _streams(content: bytes) -> tuple[list[bytes], list[str], bool]:
    """Return the streams of a file as a decoder should get them, what was changed, and whether one is cut short."""
    inner = containers.mp3_in_wave(content)
    is_container = content[:4] in _CONTAINERS and not inner
    if _is_flac(content):
        links, notes = containers.flac_links(content), []
        is_cut, kind = False, "FLAC"
    elif is_container or not (mp3 := mpeg.streams(inner or content)):
        mended = containers.mended(content)
        links, notes = ogg.links(mended.content), list(mended.notes)
        if left := ogg.left_over(links[-1]):
            notes.append(f"{left} bytes after the sound are of another kind, and not read")
        is_cut, kind = containers.promises_more(mended.content), "chained Ogg"
    else:
        links = [stream.with_length() for stream in mp3]
        notes = [containers.SMALLER] if any(stream.is_longer for stream in mp3) else []
        is_cut = any(stream.is_cut for stream in mp3) or containers.promises_more(content)
        kind = "MP3"
    if len(links) > 1:
        notes.append(f"{len(links)} {kind} streams in one file, read one after another")
    return links, notes, is_cut


def _untagged(content: bytes) -> bytes:
    """Return a file without ID3v2 tags before its container, for which libsndfile drops as many bytes at the end."""
    start = mpeg.after_tags(content, 0)
    return content[start:] if content[start : start + 4] in _CONTAINERS else content


def _is_flac(content: bytes) -> bool:
    return content[:4] == _FLAC and len(content) >= 26


@dataclass(frozen=True)
class _Stream:
    """One decoded stream: (frames, channels) float32, its rate in Hz, its container as libsndfile calls it."""

    samples: NDArray[np.float32]
    rate: int
    container: str


def _decode_stream(content: bytes, name: str, longest_s: float, stated: int = 0) -> _Stream:
    """Decode one stream block by block, as far as the decoder goes.

    A FLAC is decoded to its end whatever its header states; after the `stated` frames no error counts, for tags follow.
    """
    import soundfile

    content = containers.without_flac_frames(content) if _is_flac(content) else content
    try:
        with _forward_only()(io.BytesIO(content)) as sound:
            rate, promised, container = sound.samplerate, sound.frames, sound.format
            check_rate(rate, name)
            most = int(longest_s * rate)
            blocks, frames = [np.zeros((0, sound.channels), np.float32)], 0
            try:
                while len(
                    block := sound.read(
                        _block(frames, stated),
                        dtype="float32",
                        always_2d=True,
                    )
                ):
                    blocks.append(np.asarray(block))
                    frames += len(block)
                    if frames > most:
                        raise AudioError(name, "too-long", f"is longer than {longest_s:g} s")
            except (soundfile.LibsndfileError, ValueError, RuntimeError) as error:
                if not 0 < stated <= frames:
                    raise AudioError(
                        name,
                        "truncated",
                        f"is truncated or damaged: decoding stopped ({_reason(error)})",
                    ) from error
    except (soundfile.LibsndfileError, ValueError, TypeError, RuntimeError) as error:
        raise AudioError(
            name, "not-audio", foreign.description(content, Path(name).name)
        ) from error
    except MemoryError as error:
        raise AudioError(name, "too-long", "does not fit into memory") from error
    if frames < promised < _UNKNOWN and content[:4] in _CONTAINERS:
        raise AudioError(name, "truncated", _CUT)
    return _Stream(np.concatenate(blocks), rate, container)


def _block(frames: int, stated: int) -> int:
    """Return how many frames to read next: none beyond what is stated with those before, which would be lost too."""
    return min(_BLOCK, stated - frames) if frames < stated else _BLOCK


@cache
def _forward_only() -> type["SoundFile"]:
    """Return a reader that reads from start to end and does not support tell.

    `SoundFile` seeks after each block, which fails where a length is not known (FLAC from a pipe) or damaged.
    """
    import soundfile

    class ForwardOnly(soundfile.SoundFile):  # type: ignore[misc]  # the library has no types
        def seekable(self) -> bool:
            return False

    return ForwardOnly


def _reason(error: Exception) -> str:
    """Return a decoder's message without the address of the object that it read."""
    return str(error).partition(">: ")[2] or str(error).rstrip(".")


def digest(path: Path) -> str:
    """Return the SHA-256 of a sound file's bytes, in hexadecimal digits.

    Raises:
        AudioError: missing, unreadable, or no regular file.
    """
    with _opened(path, _printable(path)) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(source: Path | bytes, name: str) -> bytes:
    if isinstance(source, bytes):
        return source
    with _opened(source, name) as file:
        return file.read()


def has_backslashes(path: str) -> bool:
    """Return whether a path has backslashes, which belong to the file's name on this system."""
    return os.sep == "/" and "\\" in path


@contextmanager
def _opened(path: Path, name: str) -> Iterator[io.BufferedReader]:
    """Open a regular file: a pipe would be waited for, and /dev/zero never ends."""
    try:
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            raise AudioError(name, "not-audio", "is a folder, not a sound file")
        if not stat.S_ISREG(kind):
            raise AudioError(name, "not-audio", "is a device or a pipe, not a sound file")
        with path.open("rb") as file:
            yield file
    except FileNotFoundError as error:
        hint = f": {BACKSLASHES}" if has_backslashes(str(path)) else ""
        raise AudioError(name, "missing", f"no such file{hint}") from error
    except OSError as error:
        raise AudioError(name, "missing", f"cannot be read ({error.strerror})") from error
    except ValueError as error:  # a NUL in the path
        raise AudioError(name, "missing", f"cannot be read ({error})") from error


def _printable(path: Path) -> str:
    """Return the path as text that every terminal and file can take; a file system's bytes may be no UTF-8."""
    return str(path).encode("utf-8", "backslashreplace").decode()
