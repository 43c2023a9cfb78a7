"""The scene's spectrogram with the needle marked, and a model's evidence below it."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from niah.plots.layout import LINE_IN, LINES_HAD, fit
from niah.plots.medium import PAGE, medium
from niah.plots.style import in_style, legend
from niah.preview.scene import PreviewScene, drawn_as, drawn_features

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from niah.preview.evidence import Evidence

_MOST_COLUMNS = 1600  # of the picture; longer scenes show means over neighbouring frames
_ZOOM_FROM_S = 30.0  # scenes longer than this get a second panel, on the needle
_TICKS_HZ = (125, 500, 1000, 2000, 4000, 7000)


def draw(
    scene: PreviewScene,
    features: NDArray[np.float32],
    evidence: "Evidence | None",
) -> "Figure":
    """Draw the whole scene with the needle marked, a closer view of a long one's needle, and a model's evidence.

    Args:
        scene: what is shown.
        features: (frames, mels) float32, as the model gets them.
        evidence: of a model along time; None for none.

    Returns:
        The figure for the medium of the moment, to be written.
    """
    with in_style():
        return _figure(scene, features, evidence)


def _figure(
    scene: PreviewScene, features: NDArray[np.float32], evidence: "Evidence | None"
) -> "Figure":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    frontend, features = scene.frontend, drawn_features(scene.frontend, features)
    zoomed = scene.length_s > _ZOOM_FROM_S
    pictures = 2 if zoomed else 1
    panels = pictures + (evidence is not None)
    width_in = medium().width_in
    size = (11, 1.2 + 2.6 * panels) if width_in is None else (width_in, 0.5 + 1.6 * panels)
    legend_in = 0.0 if evidence is None else LINES_HAD * LINE_IN * medium().scale
    figure = Figure(figsize=(size[0], size[1] + legend_in), dpi=120)
    FigureCanvasAgg(figure)
    axes = figure.subplots(panels, 1, squeeze=False)[:, 0]
    whole = (0, scene.total)
    margin = frontend.needle_frames // 2
    close = (
        max(0, scene.start - margin),
        min(scene.total, scene.start + frontend.needle_frames + margin),
    )
    first, last = close if zoomed else whole
    limits = np.percentile(drawn_as(frontend).decibels(features[first:last]), [1, 99.7])
    for axis, span in zip(axes[:pictures], [whole, close], strict=False):
        image = _panel(axis, scene, features, span, limits)
    figure.colorbar(
        image, ax=list(axes[:pictures]), label="mel energy (dB)", pad=0.01, fraction=0.03
    )
    if evidence is not None:
        _below(axes[-1], scene, evidence)
        legend(figure, axes[-1])
    axes[-1].set_xlabel("time in the scene (s)")
    fit(figure, scene.title)
    return figure


def _below(axis: "Axes", scene: PreviewScene, evidence: "Evidence") -> None:
    """Draw the evidence of the whole scene on the time axis of its picture."""
    from niah.preview.evidence import draw_evidence

    step_s = scene.frontend.frame_shift / scene.frontend.sample_rate
    end = scene.start + scene.frontend.needle_frames
    draw_evidence(axis, evidence, (scene.start * step_s, end * step_s))
    axis.set_xlim(0, scene.total * step_s)


def _panel(
    axis: "Axes",
    scene: PreviewScene,
    features: NDArray[np.float32],
    span: tuple[int, int],
    limits: NDArray[np.floating],
) -> Any:
    """Draw one spectrogram of the frames in `span`, needle and padding marked; return the image."""
    import librosa.display
    from matplotlib.ticker import AutoLocator, ScalarFormatter

    frontend, drawn = scene.frontend, drawn_as(scene.frontend)
    first, last = span
    step_s = frontend.frame_shift / frontend.sample_rate
    columns = drawn.decibels(_columns(features[first:last])).T
    image = librosa.display.specshow(
        columns,
        x_coords=np.linspace(first * step_s, last * step_s, columns.shape[1] + 1),
        y_coords=np.arange(drawn.mels + 1),
        ax=axis,
        cmap="magma",
        vmin=limits[0],
        vmax=limits[1],
        rasterized=True,  # a picture within the vectors of an SVG or PDF
    )
    # specshow removes the ticks of an axis without a type
    axis.xaxis.set_major_locator(AutoLocator())
    axis.xaxis.set_major_formatter(ScalarFormatter())
    axis.set_yticks([drawn.row_of(f) for f in _TICKS_HZ], [str(f) for f in _TICKS_HZ])
    axis.set_ylabel("frequency (Hz, mel scale)")
    begin, end = scene.start * step_s, (scene.start + frontend.needle_frames) * step_s
    top = drawn.mels
    for edge in (begin, end):
        axis.axvline(edge, color="cyan", linewidth=1.0, linestyle="--")
    axis.plot([begin, end], [top * 1.02] * 2, color="tab:cyan", linewidth=4, clip_on=False)
    _mark_padding(axis, scene, step_s)
    near_end = begin > (first + 0.9 * (last - first)) * step_s
    axis.text(
        end if near_end else begin,
        top * 1.045,
        f"needle {begin:g} to {end:g} s",
        ha="right" if near_end else "left",
        va="bottom",
        fontsize=_small(),
        color="teal",
    )
    axis.set_xlim(first * step_s, last * step_s)
    axis.set_ylim(0, top)
    axis.grid(visible=False)
    return image


def _small() -> float:
    """Return the font size of notes within a panel, in points."""
    return 9.0 if medium() is PAGE else 7.0


def _mark_padding(axis: "Axes", scene: PreviewScene, step_s: float) -> None:
    """Hatch the frames that pad a short clip: raw zeros in place of log energies are brighter than quiet sound."""
    if scene.padding is None:
        return
    first, last = (frame * step_s for frame in scene.padding)
    axis.axvspan(first, last, facecolor="none", edgecolor="white", hatch="//", linewidth=0)
    axis.text(
        (first + last) / 2,
        drawn_as(scene.frontend).mels / 2,
        "padding, no sound",
        ha="center",
        va="center",
        fontsize=_small() - 1,
        color="black",
        bbox={"facecolor": "white", "alpha": 0.85, "edgecolor": "none"},
        clip_on=True,
    )


def _columns(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return at most `_MOST_COLUMNS` rows: means over neighbouring frames."""
    step = -(-len(features) // _MOST_COLUMNS)
    if step == 1:
        return features
    starts = np.arange(0, len(features), step)
    counts = np.diff(np.append(starts, len(features)))[:, None]
    return (np.add.reduceat(features, starts, axis=0) / counts).astype(np.float32)
