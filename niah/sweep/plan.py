"""The plan of a run: its cells in order. No torch, nothing read.

A cell is one model x haystack x SNR x length x position. The needle alone (10 s) is every model's base: it is
measured once a model (and pooling), whatever the run varies. Under niah-v2.1 the needle alone is also measured in each
noise that goes on under it: the shortest scene at that SNR, which separates the cost of masking from that of length.

Further axes, each plain by default:

    pooling        of per-position logits (`niah.networks.layers.pooling`): as another model, with a base of its own
    level          surround, or mix; where a run has both, constants, into which nothing mixes, have surround alone
    needle_s       the loudest needle_s seconds of the clip are hidden, the rest is haystack
    needle_count   copies of the clip, each in an equal section of the scene
    distractors    number of clips of other classes beside it (`niah.placement`, `niah.needles.distractors`)
    needles_per_scene  different clips in equal sections, the row's own at a place that is drawn by clip; with
                   needle_count, each of them so often, in turns (`niah.needles.companions`)
    control        the plain scenes once more without their needle; see `_controls`

A scene below 10 s is the needle's loudest stretch of that length, alone or with noise under it as at 10 s. Its position
only puts it on the curve of that position. `dass-v1` has none.

needle_s, needle_count, distractors, needles_per_scene and the level mix belong to `niah-v2`; the paper's harness has no
such axes. The base stays the whole clip alone, so their relative scores give the cost of the cut (or of the crowd) and
of the haystack together.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

from niah.errors import NiahError
from niah.placement import CURRENT_NIAH, FRAMES_PER_SECOND, arrange, scene_frames
from niah.records.axes import ARRANGING_AXES, AXES, NEEDLE_FREE, OWN, SHAM, Axes
from niah.records.naming import NO_HAYSTACK, axes_name
from niah.records.schema import BASE_LENGTH_S
from niah.sweep.options import CONSTANT_HAYSTACKS, RunOptions

WITHOUT_SNR = (*CONSTANT_HAYSTACKS, OWN)
LONGEST_NEEDLE_FRAMES = 1024  # of a 10 s clip: AST's and DASS's front end


@dataclass(frozen=True)
class Cell(Axes):
    """One measurement. The needle alone has neither haystack nor position; an axis is None where it is plain."""

    model: str
    haystack: str
    length_s: float
    snr_db: float | None = None
    position: float | None = None

    @property
    def is_base(self) -> bool:
        """Return whether it is the needle alone."""
        return self.haystack == NO_HAYSTACK

    @property
    def is_rearranged(self) -> bool:
        """Return whether its scene is more than a whole clip in a haystack."""
        return any(getattr(self, name) for name in ARRANGING_AXES)

    @property
    def needles(self) -> int:
        """Return the number of needles in a scene: different clips, each as often as it is repeated."""
        return (self.needle_count or 1) * (self.needles_per_scene or 1)

    @property
    def is_short(self) -> bool:
        """Return whether its scene is a part of the needle."""
        return self.length_s < BASE_LENGTH_S

    def __str__(self) -> str:
        parts = [self.model if self.pooling is None else f"{self.model} ({self.pooling} pooling)"]
        if self.is_base:
            return f"{parts[0]}, needle alone"
        level = "" if self.snr_db is None else f" {self.snr_db:g} dB"
        parts += [f"{self.haystack}{level}", f"{self.length_s:g} s"]
        if self.position is not None:
            parts.append(f"position {self.position:g}")
        return ", ".join([*parts, *filter(None, (self.control, axes_name(asdict(self))))])


def plan(
    options: RunOptions, models: Sequence[str], without_snr: Collection[str] = WITHOUT_SNR
) -> list[Cell]:
    """List the cells, the shortest first within a model, each once; poolings of the same scenes side by side.

    Scenes whose pieces do not fit are left out.

    Args:
        options: grid of the run.
        models: names of the models, in order.
        without_snr: those of the run's haystacks that have no level of their own: constants, and the needles' own
            recordings.
    """
    poolings = dict.fromkeys(options.poolings) or (None,)
    return [
        replace(cell, pooling=pooling)
        for model in models
        for cell in _cells_of(options, model, without_snr)
        for pooling in poolings
    ]


def left_out(options: RunOptions) -> list[str]:
    """Return a sentence on each scene that is not planned because its pieces do not fit."""
    notes = []
    for length in sorted(set(options.lengths_s) - {BASE_LENGTH_S}):
        for position in dict.fromkeys(options.positions):
            for cell in _arranged(options, Cell("", "", length, position=position)):
                if not _fits(cell, options.protocol):
                    what = axes_name(asdict(cell))
                    notes.append(
                        f"{what}: no room in {length:g} s, position {position:g}; left out"
                    )
    return notes


def long_windows(options: RunOptions) -> list[str]:
    """Return a note on scenes that are shorter than the run's window, which are one window."""
    window_s = options.window_s or 0.0
    shorter = sorted(s for s in {BASE_LENGTH_S, *options.lengths_s} if s < window_s)
    if not shorter:
        return []
    lengths = ", ".join(f"{s:g}" for s in shorter)
    return [
        f"--window {window_s:g} is longer than the scenes of {lengths} s: each of them is scored whole, as one window"
    ]


def _cells_of(options: RunOptions, model: str, without_snr: Collection[str]) -> Iterator[Cell]:
    yield Cell(model, NO_HAYSTACK, BASE_LENGTH_S)
    if OWN in options.haystacks:
        yield Cell(model, OWN, BASE_LENGTH_S)
    if (
        options.protocol == CURRENT_NIAH
    ):  # the same in each noise, so that masking and length are apart
        for place in _places(options, model, BASE_LENGTH_S, without_snr):
            if place.snr_db is not None and (place.level or options.own_level) == "mix":
                yield place
    for length in sorted(set(options.lengths_s)):
        for plain in _places(options, model, length, without_snr):
            if length != BASE_LENGTH_S:
                for position in dict.fromkeys(options.positions):
                    cells = _arranged(options, replace(plain, position=position))
                    if plain.haystack == OWN:  # its events lie where they lie
                        cells = iter([replace(plain, position=position)])
                    yield from (cell for cell in cells if _fits(cell, options.protocol))
            yield from _controls(options, plain, without_snr)


def _places(
    options: RunOptions, model: str, length_s: float, without_snr: Collection[str]
) -> Iterator[Cell]:
    """Iterate over haystack x SNR x level of one length."""
    for haystack in dict.fromkeys(options.haystacks):
        has_snr = haystack not in without_snr
        snrs: Sequence[float | None] = options.snrs_db if has_snr else (None,)
        levels = options.levels if has_snr else (options.own_level,)
        for snr in dict.fromkeys(snrs):
            for level in levels:
                other = None if level == options.own_level else level
                yield Cell(model, haystack, length_s, snr, level=other)


def _arranged(options: RunOptions, plain: Cell) -> Iterator[Cell]:
    axes = [AXES[name] for name in ARRANGING_AXES]
    for values in product(*(dict.fromkeys(options.values_of(axis)) for axis in axes)):
        further: dict[str, Any] = {
            name: None if value == AXES[name].plain else value
            for name, value in zip(ARRANGING_AXES, values, strict=True)
        }
        yield replace(plain, **further)


def _controls(options: RunOptions, place: Cell, without_snr: Collection[str]) -> Iterator[Cell]:
    """Yield the controls of a place: needle-free, one cell, since the haystack goes on and no position matters; sham,
    a cell a position, with another part of the haystack in the needle's place; a constant has no seam, so no sham."""
    if options.has_needle_free:
        yield replace(place, control=NEEDLE_FREE)
    seams = place.haystack not in without_snr and place.length_s > BASE_LENGTH_S
    if SHAM in options.controls and seams:
        for position in dict.fromkeys(options.positions):
            yield replace(place, position=position, control=SHAM)


def _fits(cell: Cell, protocol: str) -> bool:
    if not cell.is_rearranged:
        return True
    assert cell.position is not None
    frames = piece_frames(cell, LONGEST_NEEDLE_FRAMES)
    total = scene_frames(cell.length_s)
    try:
        arrange(total, frames, cell.position, protocol, cell.needles, cell.distractors or 0)
    except NiahError:
        return False
    return True


def piece_frames(cell: Cell, needle_frames: int) -> int:
    """Return the frames of each clip in a cell's scenes.

    Args:
        cell: the cell.
        needle_frames: frames of a whole clip, by the front end.
    """
    return needle_frames if cell.needle_s is None else round(cell.needle_s * FRAMES_PER_SECOND)
