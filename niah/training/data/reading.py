"""Reading of a clip to train on."""

from typing import TYPE_CHECKING

from niah.audio import AudioError, load
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
    try:
        return source.waveform(sample_rate).samples
    except AudioError as error:
        read = getattr(source, "read", None)
        if error.reason != "silent" or read is None:
            raise
        return load(read(), sample_rate, name=source.name, allow_silence=True).samples
