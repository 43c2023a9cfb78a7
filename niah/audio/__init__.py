"""Sound files in, mono float32 out; bad files are named, with the reason.

waveform     a mono sound, its level, and the error of a file that is none
loading      a file's bytes, decoded in blocks
mono         decoded samples, checked, averaged and resampled
containers   how much sound a header promises, and headers of writers that could not seek
mpeg         MPEG audio frames, counted: an MP3 has no length of its own
reader_version  of the above, for the keys of what is stored
foreign      what a file is that libsndfile cannot read
"""

from niah.audio.loading import (
    AUDIO_SUFFIXES,
    BACKSLASHES,
    LONGEST_S,
    digest,
    has_backslashes,
    load,
)
from niah.audio.waveform import AudioError, Reason, Waveform, rms

__all__ = [
    "AUDIO_SUFFIXES",
    "BACKSLASHES",
    "LONGEST_S",
    "AudioError",
    "Reason",
    "Waveform",
    "digest",
    "has_backslashes",
    "load",
    "rms",
]
