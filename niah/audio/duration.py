"""Length of a recording, by its header where that can be believed, else by decoding it."""

from functools import lru_cache
from pathlib import Path

from niah.audio.loading import decode_file
from niah.audio.part import stated_frames


def duration_s(path: Path) -> float:
    """Return the seconds of a recording.

    Raises:
        AudioError: it cannot be read.
    """
    try:
        state = path.stat()
    except OSError:
        decode_file(path)  # which says what is wrong
        raise
    return _duration_s(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=4096)
def _duration_s(path: Path, modified_ns: int, size: int) -> float:  # noqa: ARG001
    stated = stated_frames(path)
    if stated is not None:
        frames, rate = stated
        return frames / rate
    samples, rate = decode_file(path)
    return len(samples) / rate
