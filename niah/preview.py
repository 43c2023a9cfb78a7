"""One scene to see and to hear: what a model gets, as an array, a picture and a sound.

`features.npy` is exactly what an adapter is given. `scene.wav` is the same scene as sound: the
clip spliced into (or mixed with) the scaled noise; a `zero` haystack, which is no sound, plays as
silence.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from niah import audio
from niah.atomic import telling, writing
from niah.errors import NiahError
from niah.features import KaldiFrontend
from niah.haystacks import Haystack, load_haystack
from niah.placement import start_frame, total_frames
from niah.scenes import Level, NeedleFeatures, SceneBuilder

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FEATURES, PICTURE, SOUND = "features.npy", "spectrogram.png", "scene.wav"

_MOST_COLUMNS = 1600  # of the picture; longer scenes show means over neighbouring frames
_ZOOM_FROM_S = 30.0  # scenes longer than this get a second panel, on the needle
_CHUNK_HOPS = 40_000  # 400 s of sound at a time
_LOUDEST = 0.99
_TICKS_HZ = (125, 500, 1000, 2000, 4000, 7000)
_DB_PER_NEPER = 10 / np.log(10)  # energies, natural logarithm to dB


@dataclass(frozen=True)
class _Scene:
    """Everything that the three files tell of."""

    title: str
    builder: SceneBuilder
    clip_id: str
    wave: NDArray[np.float32]
    needle: NeedleFeatures
    length_s: float
    total: int
    start: int
    snr_db: float | None


def preview(
    needle: Path,
    haystack: str | Path | Haystack,
    *,
    snr_db: float | None,
    length_s: float,
    position: float,
    out: Path,
    protocol: str = "dass-v1",
    babble: Path | None = None,
    seed: int = 0,
    level: Level = "surround",
    frontend: KaldiFrontend | None = None,
) -> list[Path]:
    """Write `features.npy`, `spectrogram.png` and `scene.wav` for one needle into `out`.

    The array is (frames, mels) float32, normalised. The sound is 16-bit at the front end's rate,
    scaled down as a whole if it would clip. The clip id that picks the noise is the file's stem.
    All three files are written, or none.

    Raises:
        NiahError: a bad needle, haystack, length, position or SNR, or a folder that cannot be
            written.
    """
    frontend = frontend or KaldiFrontend()
    total = total_frames(length_s, frontend.needle_frames)
    start = start_frame(total, frontend.needle_frames, position, protocol)
    wave = audio.load(needle, frontend.sample_rate).samples
    if not isinstance(haystack, Haystack):
        haystack = load_haystack(haystack, babble=babble, seed=seed)
    builder = SceneBuilder(frontend, protocol, haystack, seed, level)
    snr_db = snr_db if haystack.needs_snr else None
    told = haystack.name + (f" at {snr_db:g} dB SNR" if snr_db is not None else "")
    scene = _Scene(
        title=f"{needle.name} in {told}: {length_s:g} s, position {position:g}, {protocol}",
        builder=builder,
        clip_id=needle.stem,
        wave=wave,
        needle=builder.needle(wave),
        length_s=length_s,
        total=total,
        start=start,
        snr_db=snr_db,
    )
    features = builder.scene(
        scene.needle, scene.clip_id, length_s=length_s, position=position, snr_db=snr_db
    ).numpy()
    with telling(out):
        if out.exists() and not out.is_dir():
            raise NiahError(f"{out}: is a file; --out must be a folder")
        out.mkdir(parents=True, exist_ok=True)
    paths = [out / FEATURES, out / PICTURE, out / SOUND]
    with writing(paths[0]) as array, writing(paths[1]) as picture, writing(paths[2]) as sound:
        np.save(array, features)
        _draw(picture, scene, features)
        _play(sound, scene)
    return paths


def _play(stream: IO[bytes], scene: _Scene) -> None:
    """Write the scene as a 16-bit WAV, in chunks; twice through, for the peak comes first."""
    import soundfile

    peak = max(float(np.abs(chunk).max()) for chunk in _chunks(scene))
    scale = np.float32(min(1.0, _LOUDEST / peak) if peak > 0 else 1.0)
    rate = scene.builder.frontend.sample_rate
    with soundfile.SoundFile(stream, "w", rate, 1, subtype="PCM_16", format="WAV") as file:
        for chunk in _chunks(scene):
            file.write(chunk * scale)


def _chunks(scene: _Scene) -> Iterator[NDArray[np.float32]]:
    """The scene's samples from first to last: noise, needle, noise."""
    frontend, builder = scene.builder.frontend, scene.builder
    noise = None
    around = scene.total > frontend.needle_frames
    if around or (builder.level == "mix" and scene.snr_db is not None):
        noise = builder.noise(scene.needle, scene.clip_id, total=scene.total, snr_db=scene.snr_db)
    shift, end = frontend.frame_shift, scene.start + frontend.needle_frames

    def stretch(first: int, hops: int) -> NDArray[np.float32]:
        if noise is None:
            return np.zeros(hops * shift, dtype=np.float32)
        return builder.noise_samples(noise, first, hops * shift)

    for first in range(0, scene.start, _CHUNK_HOPS):
        yield stretch(first, min(_CHUNK_HOPS, scene.start - first))
    room = frontend.needle_frames * shift
    clip = np.pad(scene.wave[:room], (0, max(0, room - len(scene.wave))))
    mixed = builder.level == "mix"
    yield clip + stretch(scene.start, frontend.needle_frames) if mixed else clip
    skipped = 0 if mixed else frontend.needle_frames  # the noise is cut open for the needle
    for first in range(end, scene.total, _CHUNK_HOPS):
        yield stretch(first - skipped, min(_CHUNK_HOPS, scene.total - first))


def _draw(stream: IO[bytes], scene: _Scene, features: NDArray[np.float32]) -> None:
    """The log-mel picture: the whole scene with the needle marked, and a closer look at it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    frontend = scene.builder.frontend
    zoomed = scene.length_s > _ZOOM_FROM_S
    figure = Figure(figsize=(11, 6.4 if zoomed else 3.8), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2 if zoomed else 1, 1, squeeze=False)[:, 0]
    whole = (0, scene.total)
    margin = frontend.needle_frames // 2
    close = (
        max(0, scene.start - margin),
        min(scene.total, scene.start + frontend.needle_frames + margin),
    )
    first, last = close if zoomed else whole
    shown = features[first:last] * (2 * frontend.std) + frontend.mean
    limits = np.percentile(shown, [1, 99.7]) * _DB_PER_NEPER
    for axis, span in zip(axes, [whole, close], strict=False):
        image = _panel(axis, scene, features, span, limits)
    figure.colorbar(image, ax=list(axes), label="mel energy (dB)", pad=0.01, fraction=0.03)
    figure.suptitle(scene.title, fontsize=10)
    axes[-1].set_xlabel("time in the scene (s)")
    figure.savefig(stream, format="png")


def _panel(
    axis: "Axes",
    scene: _Scene,
    features: NDArray[np.float32],
    span: tuple[int, int],
    limits: NDArray[np.float64],
) -> Any:
    """One spectrogram of the frames in `span`, needle marked; returns the image."""
    frontend = scene.builder.frontend
    first, last = span
    step_s = frontend.frame_shift / frontend.sample_rate
    levels = _columns(features[first:last]) * (2 * frontend.std) + frontend.mean
    image = axis.imshow(
        levels.T * _DB_PER_NEPER,
        origin="lower",
        aspect="auto",
        cmap="magma",
        vmin=limits[0],
        vmax=limits[1],
        interpolation="nearest",
        extent=(first * step_s, last * step_s, 0, frontend.mels),
    )
    axis.set_yticks([frontend.row_of(f) for f in _TICKS_HZ], [str(f) for f in _TICKS_HZ])
    axis.set_ylabel("frequency (Hz, mel scale)")
    begin, end = scene.start * step_s, (scene.start + frontend.needle_frames) * step_s
    top = frontend.mels
    for edge in (begin, end):
        axis.axvline(edge, color="cyan", linewidth=1.0, linestyle="--")
    axis.plot([begin, end], [top * 1.02] * 2, color="tab:cyan", linewidth=4, clip_on=False)
    near_end = begin > (first + 0.9 * (last - first)) * step_s
    axis.text(
        end if near_end else begin,
        top * 1.045,
        f"needle {begin:g} to {end:g} s",
        ha="right" if near_end else "left",
        va="bottom",
        fontsize=9,
        color="teal",
    )
    axis.set_xlim(first * step_s, last * step_s)
    axis.set_ylim(0, top)
    return image


def _columns(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """At most `_MOST_COLUMNS` rows: means over neighbouring frames."""
    step = -(-len(features) // _MOST_COLUMNS)
    if step == 1:
        return features
    starts = np.arange(0, len(features), step)
    counts = np.diff(np.append(starts, len(features)))[:, None]
    return (np.add.reduceat(features, starts, axis=0) / counts).astype(np.float32)
