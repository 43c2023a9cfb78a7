"""A part of a long recording, without decoding the rest of it where its container allows that.

Plain samples whose header states their number, and FLAC that does, are sought in. Every other recording is decoded
whole by the rules of `load`: a length that is guessed (MP3), unknown (a FLAC or WAV from a pipe) or that of the first
of several streams would lose the events behind it. A few such recordings are remembered, as they have many events.
"""

import threading
from collections import OrderedDict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from niah.audio import containers
from niah.audio.loading import decode_file, load
from niah.audio.mono import mono_sound
from niah.audio.waveform import AudioError, Waveform

_SLACK_S = 0.05  # annotations are often written to a tenth of a second
_HEAD_BYTES = 1 << 20
_PLAIN = ("PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW")
_REMEMBERED_BYTES = 1 << 29

_Decoded = tuple[NDArray[np.float32], int]  # (frames, channels), rate in Hz
_recent: OrderedDict[tuple[str, int, int], _Decoded] = OrderedDict()
_DECODING = threading.Lock()  # threads that read events of one recording decode it once


def load_part(
    path: Path, sample_rate: int, start_s: float, stop_s: float, *, allow_silence: bool = False
) -> Waveform:
    """Read a part of a sound file as mono float32 at `sample_rate`, by the rules of `load`.

    Args:
        path: the file.
        sample_rate: wanted rate in Hz.
        start_s: begin of the part.
        stop_s: its end, which may lie 50 ms behind the file's.
        allow_silence: take silence for a sound.

    Raises:
        AudioError: the file cannot be read, ends before the part does, or the part is unusable as a sound.
    """
    name = f"{path}, {start_s:g} to {stop_s:g} s"
    if not path.is_file():
        return load(path, sample_rate)  # which says what it is instead
    samples, rate = _sought(path, start_s, stop_s) or _part_of_whole(path, name, start_s, stop_s)
    return mono_sound(samples, rate, sample_rate, name, allow_silence=allow_silence)


def _sought(path: Path, start_s: float, stop_s: float) -> _Decoded | None:
    """Seek and read; None where the file has to be decoded whole, or the part is not there."""
    import soundfile

    stated = stated_frames(path)
    if stated is None:
        return None
    frames, rate = stated
    start, stop = round(start_s * rate), round(stop_s * rate)
    if stop > frames + _SLACK_S * rate:
        return None
    try:
        with soundfile.SoundFile(path) as sound:
            sound.seek(min(start, sound.frames))
            samples = sound.read(stop - start, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, ValueError, TypeError, RuntimeError, OSError):
        return None
    is_whole = len(samples) >= stop - start - _SLACK_S * rate
    return (samples, rate) if is_whole and len(samples) else None


def stated_frames(path: Path) -> tuple[int, int] | None:
    """Return the (frames, rate in Hz) that a header states, where it can be believed; else None."""
    import soundfile

    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        with soundfile.SoundFile(path) as sound:
            is_flac = sound.format == "FLAC" and containers.states_flac_frames(head)
            # of W64 libsndfile counts what is behind the sound
            is_plain = sound.subtype in _PLAIN and not containers.is_w64(head)
            is_plain = is_plain and containers.states_length(head, path.stat().st_size)
            return (sound.frames, sound.samplerate) if is_flac or is_plain else None
    except (soundfile.LibsndfileError, ValueError, TypeError, RuntimeError, OSError):
        return None


def _part_of_whole(path: Path, name: str, start_s: float, stop_s: float) -> _Decoded:
    samples, rate = _decoded(path)
    start, stop = round(start_s * rate), round(stop_s * rate)
    if stop > len(samples) + _SLACK_S * rate or start >= len(samples):
        what = "begins" if start >= len(samples) else "ends"
        end_s = len(samples) / rate
        raise AudioError(name, "past-end", f"{what} behind the recording's end at {end_s:g} s")
    return samples[start:stop], rate


def _decoded(path: Path) -> _Decoded:
    """Decode a recording, or return it as it was decoded last."""
    state = path.stat()
    key = (str(path), state.st_mtime_ns, state.st_size)
    with _DECODING:
        if key not in _recent:
            _recent[key] = decode_file(path)
            while len(_recent) > 1 and _bytes_of_recent() > _REMEMBERED_BYTES:
                _recent.popitem(last=False)
        _recent.move_to_end(key)
        return _recent[key]


def _bytes_of_recent() -> int:
    return sum(samples.nbytes for samples, _ in _recent.values())
