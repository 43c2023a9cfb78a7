"""A part of a long recording, without decoding the rest of it."""

import io
from pathlib import Path

from niah.audio import foreign
from niah.audio.loading import load
from niah.audio.waveform import AudioError, Waveform

_SLACK_S = 0.05  # annotations are often written to a tenth of a second
_HEAD_BYTES = 512


def load_part(path: Path, sample_rate: int, start_s: float, stop_s: float) -> Waveform:
    """Read a part of a sound file as mono float32 at `sample_rate`, by the rules of `load`.

    Args:
        path: the file.
        sample_rate: wanted rate in Hz.
        start_s: begin of the part.
        stop_s: its end, which may lie 50 ms behind the file's.

    Raises:
        AudioError: the file cannot be read, ends before the part does, or the part is unusable as a sound.
    """
    import soundfile

    name = f"{path}, {start_s:g} to {stop_s:g} s"
    if not path.is_file():
        return load(path, sample_rate)  # which says what it is instead
    try:
        with soundfile.SoundFile(path) as sound:
            rate = sound.samplerate
            start, stop = round(start_s * rate), round(stop_s * rate)
            if stop > sound.frames + _SLACK_S * rate or start >= sound.frames:
                raise AudioError(
                    name, "empty", f"lies behind the recording's end at {sound.frames / rate:g} s"
                )
            sound.seek(start)
            samples = sound.read(stop - start, dtype="float32", always_2d=True)
        content = io.BytesIO()
        soundfile.write(content, samples, rate, format="WAV", subtype="FLOAT")
    except (soundfile.LibsndfileError, ValueError, TypeError, RuntimeError, OSError) as error:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        raise AudioError(name, "not-audio", foreign.description(head, path.name)) from error
    return load(content.getvalue(), sample_rate, name=name)
