"""The scene as sound."""

from collections.abc import Iterator
from typing import IO

import numpy as np
from numpy.typing import NDArray

from niah.preview.scene import PreviewScene

_CHUNK_HOPS = 40_000  # 400 s of sound at a time
_LOUDEST = 0.99


def play(stream: IO[bytes], scene: PreviewScene) -> None:
    """Write the scene as a 16-bit WAV, in chunks, scaled down as a whole if it would clip.

    Args:
        stream: of the file.
        scene: is rendered twice, first for its peak.
    """
    import soundfile

    peak = max(float(np.abs(chunk).max()) for chunk in _chunks(scene))
    scale = np.float32(min(1.0, _LOUDEST / peak) if peak > 0 else 1.0)
    rate = scene.frontend.sample_rate
    with soundfile.SoundFile(stream, "w", rate, 1, subtype="PCM_16", format="WAV") as file:
        for chunk in _chunks(scene):
            file.write(chunk * scale)


def _chunks(scene: PreviewScene) -> Iterator[NDArray[np.float32]]:
    """Yield the scene's samples from first to last: noise, needle, noise."""
    frontend, builder = scene.frontend, scene.builder
    gain = 1.0
    noise = None
    around = scene.total > frontend.needle_frames
    if around or (builder.level == "mix" and scene.snr_db is not None):
        noise = builder.noise(scene.needle, scene.clip_id, total=scene.total, snr_db=scene.snr_db)
        gain = builder.needle_gain(scene.needle, scene.snr_db)
    shift, end = frontend.frame_shift, scene.start + frontend.needle_frames

    def haystack(first: int, hops: int) -> NDArray[np.float32]:
        if noise is None:
            return np.zeros(hops * shift, dtype=np.float32)
        return builder.noise_samples(noise, first, hops * shift)

    for first in range(0, scene.start, _CHUNK_HOPS):
        yield haystack(first, min(_CHUNK_HOPS, scene.start - first))
    room = frontend.needle_frames * shift - frontend.lead
    mean = np.float32(scene.wave.mean(dtype=np.float64) if frontend.removes_mean else 0.0)
    clip = np.pad(scene.wave[:room] - mean, (frontend.lead, max(0, room - len(scene.wave))))
    clip *= np.float32(gain)
    mixed = builder.level == "mix"
    yield clip + haystack(scene.start, frontend.needle_frames) if mixed else clip
    skipped = 0 if mixed else frontend.needle_frames  # the noise is cut open for the needle
    for first in range(end, scene.total, _CHUNK_HOPS):
        yield haystack(first - skipped, min(_CHUNK_HOPS, scene.total - first))
