"""Reading of a clip to train on."""

from typing import TYPE_CHECKING

from niah.audio import AudioError, load
from niah.audio.part import load_part
from niah.needles.needle import LONGEST_CLIP_S
from niah.needles.readers.events import EventSource
from niah.training.data.augmentation import Samples

if TYPE_CHECKING:
    from niah.needles.needle import Source


def read_samples(source: "Source", sample_rate: int) -> Samples:
    """Read a clip to train on; digital silence is allowed.

    Args:
        source: file or archive entry of the clip.
        sample_rate: Hz.

    Returns:
        (samples,) float32.

    Raises:
        NiahError: it cannot be read.
    """
    if isinstance(source, EventSource):
        part = source.recording, sample_rate, source.onset_s, source.stop_s
        return load_part(*part, allow_silence=True).samples
    try:
        return source.waveform(sample_rate).samples
    except AudioError as error:
        read = getattr(source, "read", None)
        if error.reason != "silent" or read is None:
            raise
        return load(read(), sample_rate, name=source.name, allow_silence=True).samples


def decode_samples(content: bytes, sample_rate: int, name: str) -> Samples:
    """Decode a clip to train on, from a file's bytes; digital silence is allowed.

    Args:
        content: the file.
        sample_rate: Hz.
        name: of the clip, for messages.

    Returns:
        (samples,) float32.

    Raises:
        NiahError: it cannot be decoded.
    """
    sound = load(content, sample_rate, name=name, longest_s=LONGEST_CLIP_S, allow_silence=True)
    return sound.samples
