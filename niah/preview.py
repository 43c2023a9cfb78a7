"""One scene to see and to hear: what a model gets, as an array, a picture and a sound.

`features.npy` is exactly what an adapter is given. `scene.wav` is the same scene as sound: the
clip spliced into (or mixed with) the scaled noise; a `zero` haystack, which is no sound, plays as
silence. With a model, `curve.csv` and a panel below the picture tell where in the scene it heard the
classes that it scores highest (`niah.localisation.evidence`).
"""

import csv
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from niah import audio
from niah.atomic import telling, writing
from niah.cards import find_model
from niah.errors import NiahError
from niah.frontends.kaldi import AST, KaldiFrontend
from niah.frontends.stft import StftFrontend
from niah.haystacks import Haystack, load_haystack
from niah.placement import start_frame, total_frames
from niah.scenes import Level, NeedleFeatures, SceneBuilder

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from niah.adapters import Adapter
    from niah.plots.evidence import Evidence

FEATURES, PICTURE, SOUND = "features.npy", "spectrogram.png", "scene.wav"
CURVE = "curve.csv"

_MOST_COLUMNS = 1600  # of the picture; longer scenes show means over neighbouring frames
_ZOOM_FROM_S = 30.0  # scenes longer than this get a second panel, on the needle
_CHUNK_HOPS = 40_000  # 400 s of sound at a time
_LOUDEST = 0.99
_TOP_CLASSES = 4  # curves in one panel
_HIDDEN_S, _MOST_WINDOWS = 5.0, 50  # of occlusion: finer than for a hit rate, as it is one scene
_TICKS_HZ = (125, 500, 1000, 2000, 4000, 7000)

Drawable = (
    KaldiFrontend | StftFrontend
)  # front ends that know their features in decibels and mels in hertz


@dataclass(frozen=True)
class _Scene:
    """Everything that the three files tell of."""

    title: str
    frontend: Drawable
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
    frontend: Drawable = AST,
    adapter: "Adapter | None" = None,
    method: str = "auto",
) -> list[Path]:
    """Write `features.npy`, `spectrogram.png` and `scene.wav` for one needle into `out`.

    The array is (frames, mels) float32, normalised. The sound is 16-bit at the front end's rate,
    scaled down as a whole if it would clip. The clip id that picks the noise is the file's stem.
    All files are written, or none.

    Args:
        adapter: (with its own front end as `frontend`) a model whose evidence along time is drawn
            too, and written as `curve.csv`.
        method: of the curve: `positions`, `occlusion`, or `auto`: positions where the model has
            them.

    Raises:
        NiahError: a bad needle, haystack, length, position or SNR, a method that the model has
            not, or a folder that cannot be written.
    """
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
        frontend=frontend,
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
    evidence = None if adapter is None else _evidence(adapter, scene, features, method)
    with telling(out):
        if out.exists() and not out.is_dir():
            raise NiahError(f"{out}: is a file; --out must be a folder")
        out.mkdir(parents=True, exist_ok=True)
    names = [FEATURES, PICTURE, SOUND, *([CURVE] if evidence else [])]
    paths = [out / name for name in names]
    with ExitStack() as stack:
        array, picture, sound, *curve = (stack.enter_context(writing(path)) for path in paths)
        np.save(array, features)
        _draw(picture, scene, features, evidence)
        _play(sound, scene)
        if evidence:
            text = TextIOWrapper(curve[0], encoding="utf-8", newline="")
            csv.writer(text, lineterminator="\n").writerows(evidence.rows())
            text.detach()  # flushed; the file itself is closed with the others
    return paths


def frontend_of(model: str) -> Drawable:
    """The front end of a model's family, AST's without a name; no weights are loaded.

    Raises:
        NiahError: no such model, or one whose adapter class has no `default_frontend` of this package.
    """
    if not model:
        return AST
    from niah.adapters.importing import import_adapter

    card, _ = find_model(model)
    frontend = getattr(import_adapter(card), "default_frontend", None)
    if not isinstance(frontend, KaldiFrontend | StftFrontend):
        raise NiahError(
            f"model '{card.name}': its adapter class has no default_frontend (a front end of niah.frontends)"
        )
    return frontend


def weights_at_hand(model: str, checkpoint: Path | None) -> bool:
    """Whether a model can be loaded without fetching anything: a preview is not worth a long download."""
    from niah.adapters import NetworkAdapter
    from niah.adapters.importing import import_adapter
    from niah.weights import is_cached

    card, weights = find_model(model)
    if checkpoint is not None:
        return True
    if weights:
        return is_cached(card, weights)
    adapter = import_adapter(card)  # one of the user's own may need no file
    return not (isinstance(adapter, type) and issubclass(adapter, NetworkAdapter))


def _evidence(
    adapter: "Adapter", scene: _Scene, features: NDArray[np.float32], method: str
) -> "Evidence":
    """The curve of the scene, and its highest classes."""
    import torch

    from niah.localisation import evidence
    from niah.plots.evidence import Evidence

    whole = torch.from_numpy(features)
    if method not in ("auto", *evidence.METHODS):
        raise NiahError(f"--method '{method}': must be auto, {' or '.join(evidence.METHODS)}")
    if method == "auto":
        method = "positions" if evidence.has_positions(adapter) else "occlusion"
    if method == "positions":
        curve = evidence.position_curve(adapter, whole)
    else:
        filling = scene.builder.scene(
            None,
            scene.clip_id,
            length_s=scene.length_s,
            position=scene.start / max(1, scene.total),  # no needle: it makes no difference
            snr_db=scene.snr_db,
            like=scene.needle,
        )
        hop_s = max(1.0, round(scene.length_s / _MOST_WINDOWS, 2))
        window_s = max(_HIDDEN_S, hop_s)
        curve = evidence.occlusion_curve(adapter, whole, filling, window_s=window_s, hop_s=hop_s)
    scores = torch.sigmoid(adapter.logits(whole[None]).float().cpu()[0])
    top = torch.argsort(scores, descending=True, stable=True)[:_TOP_CLASSES].tolist()
    return Evidence(
        adapter.name,
        curve,
        columns=tuple(top),
        names=tuple(adapter.labels.names[index] for index in top),
        scores=tuple(float(scores[index]) for index in top),
    )


def _play(stream: IO[bytes], scene: _Scene) -> None:
    """Write the scene as a 16-bit WAV, in chunks; twice through, for the peak comes first."""
    import soundfile

    peak = max(float(np.abs(chunk).max()) for chunk in _chunks(scene))
    scale = np.float32(min(1.0, _LOUDEST / peak) if peak > 0 else 1.0)
    rate = scene.frontend.sample_rate
    with soundfile.SoundFile(stream, "w", rate, 1, subtype="PCM_16", format="WAV") as file:
        for chunk in _chunks(scene):
            file.write(chunk * scale)


def _chunks(scene: _Scene) -> Iterator[NDArray[np.float32]]:
    """The scene's samples from first to last: noise, needle, noise."""
    frontend, builder = scene.frontend, scene.builder
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
    room = frontend.needle_frames * shift - frontend.lead
    clip = np.pad(scene.wave[:room], (frontend.lead, max(0, room - len(scene.wave))))
    mixed = builder.level == "mix"
    yield clip + stretch(scene.start, frontend.needle_frames) if mixed else clip
    skipped = 0 if mixed else frontend.needle_frames  # the noise is cut open for the needle
    for first in range(end, scene.total, _CHUNK_HOPS):
        yield stretch(first - skipped, min(_CHUNK_HOPS, scene.total - first))


def _draw(
    stream: IO[bytes], scene: _Scene, features: NDArray[np.float32], evidence: "Evidence | None"
) -> None:
    """The log-mel picture: the whole scene with the needle marked, a closer look at it, and the model's evidence."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    frontend = scene.frontend
    zoomed = scene.length_s > _ZOOM_FROM_S
    pictures = 2 if zoomed else 1
    panels = pictures + (evidence is not None)
    figure = Figure(figsize=(11, 1.2 + 2.6 * panels), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(panels, 1, squeeze=False)[:, 0]
    whole = (0, scene.total)
    margin = frontend.needle_frames // 2
    close = (
        max(0, scene.start - margin),
        min(scene.total, scene.start + frontend.needle_frames + margin),
    )
    first, last = close if zoomed else whole
    limits = np.percentile(frontend.decibels(features[first:last]), [1, 99.7])
    for axis, span in zip(axes[:pictures], [whole, close], strict=False):
        image = _panel(axis, scene, features, span, limits)
    figure.colorbar(
        image, ax=list(axes[:pictures]), label="mel energy (dB)", pad=0.01, fraction=0.03
    )
    if evidence is not None:
        _below(axes[-1], scene, evidence)
    figure.suptitle(scene.title, fontsize=10)
    axes[-1].set_xlabel("time in the scene (s)")
    figure.savefig(stream, format="png")


def _below(axis: "Axes", scene: _Scene, evidence: "Evidence") -> None:
    """The evidence of the whole scene, on the time axis of its picture."""
    from niah.plots.evidence import draw_evidence

    step_s = scene.frontend.frame_shift / scene.frontend.sample_rate
    end = scene.start + scene.frontend.needle_frames
    draw_evidence(axis, evidence, (scene.start * step_s, end * step_s))
    axis.set_xlim(0, scene.total * step_s)


def _panel(
    axis: "Axes",
    scene: _Scene,
    features: NDArray[np.float32],
    span: tuple[int, int],
    limits: NDArray[np.floating],
) -> Any:
    """One spectrogram of the frames in `span`, needle marked; returns the image."""
    frontend = scene.frontend
    first, last = span
    step_s = frontend.frame_shift / frontend.sample_rate
    image = axis.imshow(
        frontend.decibels(_columns(features[first:last])).T,
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
