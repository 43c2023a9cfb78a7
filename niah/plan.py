"""What a run will do: options checked, cells listed. No torch, nothing read but cards.

A cell is one model x haystack x SNR x length x position. The needle alone (10 s) is every model's base: it is
measured once a model (and pooling), whatever was asked.

Further axes, each plain unless asked for:

    pooling        of per-position logits (`niah.pooling`): as another model, with a base of its own
    level          surround, or mix; where both are asked, constants, into which nothing mixes, have surround alone
    needle_s       the clip's loudest stretch of so many seconds is hidden, the rest is haystack
    needle_count   the clip so many times, each in its own equal section of the scene
    distractors    so many clips of other classes beside it (`niah.arrangement`, `niah.distractors`)
    control        the plain scenes once more without their needle; see `_controls`

needle_s, needle_count, distractors and the level mix are `niah-v2`'s: the paper's harness has nothing like them. The
base stays the whole clip alone, so their relative scores tell what the cut (or the crowd) and the haystack cost
together.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from niah.arrangement import arrange
from niah.cards import ModelCard, find_model
from niah.cells import BASE_LENGTH_S
from niah.errors import NiahError, nearest
from niah.lines import axes_name
from niah.placement import FRAMES_PER_SECOND, check_position, check_protocol, total_frames

DEFAULT_MODELS = ("dass-nano", "ast-sin-nano", "aum-nano")
DEFAULT_LENGTHS_S = (10.0, 20.0, 50.0, 100.0)
DEFAULT_HAYSTACKS = ("zero", "gaussian", "babble")
DEFAULT_SNRS_DB = (10.0,)
DEFAULT_POSITIONS = (0.5,)
DEFAULT_LIMIT = 100  # of the embedded needles; a set of one's own is used whole
CONSTANT_HAYSTACKS = ("zero", "silence")
NO_HAYSTACK = "none"
WINDOW_POOLS = ("max", "mean", "noisy-or")  # `niah.adapters.window`
RANDOM = "random"
NEEDLE_FREE, SHAM = CONTROLS = ("needle-free", "sham")
POOLINGS = (
    *("average", "max", "top-k", "log-sum-exp", "sum", "first", "mid", "last"),
    *("first-token", "mid-token", "last-token"),
)  # `niah.pooling`
KERNELS = ("auto", "reference", "chunked", "cpu", "triton", "mamba_ssm")  # `niah.scan.Backend`
LONGEST_NEEDLE_FRAMES = 1024  # that a front end gives a 10 s clip: AST's and DASS's
V2_AXES = (
    ("needle_s", "--needle-s"),
    ("needle_counts", "--needle-count"),
    ("distractors", "--distractors"),
)


@dataclass(frozen=True)
class RunOptions:
    """Everything that `niah run` was asked, checked."""

    models: tuple[str, ...] = DEFAULT_MODELS
    checkpoint: str | None = None
    needles: str = "synthetic"
    limit: int | None = None
    audio_root: Path | None = None  # where the clips of a Google segment CSV lie
    broader: bool = False  # also labels that only cover the sound
    haystacks: tuple[str, ...] = DEFAULT_HAYSTACKS
    babble: Path | None = None
    snrs_db: tuple[float, ...] = DEFAULT_SNRS_DB
    positions: tuple[float, ...] = DEFAULT_POSITIONS
    lengths_s: tuple[float, ...] = DEFAULT_LENGTHS_S
    protocol: str = "dass-v1"
    level: str = "surround"  # or "mix", or both: "surround,mix"
    poolings: tuple[str, ...] = ()  # none: the model's own
    controls: tuple[str, ...] = ()
    needle_s: tuple[float, ...] = (BASE_LENGTH_S,)  # 10 is the whole clip
    needle_counts: tuple[int, ...] = (1,)
    distractors: tuple[int, ...] = (0,)
    window_s: float | None = None
    hop_s: float | None = None  # None is half the window
    window_pool: str = "max"
    device: str = "auto"
    dtype: str = "float32"
    kernel: str = "auto"  # of the scans: what suits the device
    batch_size: int | None = None  # None is auto
    seed: int = 0
    out: Path = Path("runs/default")
    strict: bool = False
    preset: str | None = None  # what filled in the rest (`niah.presets`); for the record

    def __post_init__(self) -> None:
        check_protocol(self.protocol)
        for name in ("models", "haystacks", "snrs_db", "positions", "lengths_s"):
            if not getattr(self, name):
                raise NiahError(f"give at least one of {name}")
        for position in self.positions:
            check_position(position)
        for length in self.lengths_s:
            total_frames(length)
        for snr_db in self.snrs_db:
            if not math.isfinite(snr_db):
                raise NiahError(f"--snr must be a number of decibels, got {snr_db}")
        if self.limit is not None and self.limit < 1:
            raise NiahError(f"--limit must be 1 or more, got {self.limit}")
        if self.batch_size is not None and self.batch_size < 1:
            raise NiahError(f"--batch-size must be 'auto' or 1 or more, got {self.batch_size}")
        if self.kernel not in KERNELS:
            raise NiahError(f"--kernel '{self.kernel}': unknown.{nearest(self.kernel, KERNELS)}")
        self._check_window()
        self._check_axes()
        if self.checkpoint not in (None, RANDOM) and len(self.models) > 1:
            raise NiahError(
                f"--checkpoint {self.checkpoint} is one file, and {len(self.models)} models were asked for"
            )

    def _check_window(self) -> None:
        frame_s = 1 / FRAMES_PER_SECOND
        if self.window_s is not None and not frame_s <= self.window_s < math.inf:
            raise NiahError(f"--window must be 0.01 s (a frame) or more, got {self.window_s}")
        if self.window_pool not in WINDOW_POOLS:
            hint = nearest(self.window_pool, WINDOW_POOLS)
            raise NiahError(f"--window-pool '{self.window_pool}': unknown.{hint}")
        if self.window_s is None and (self.hop_s is not None or self.window_pool != "max"):
            raise NiahError("--hop and --window-pool are of sliding windows: add --window 10")
        if self.hop_s is not None and not frame_s <= self.hop_s <= (self.window_s or 0):
            raise NiahError(
                f"--hop must be 0.01 s (a frame) to the window's {self.window_s:g} s, or sounds lie between windows; "
                f"got {self.hop_s}"
            )

    def _check_axes(self) -> None:
        for option, values, known in (
            ("--pooling", self.poolings, POOLINGS),
            ("--control", self.controls, CONTROLS),
        ):
            for word in values:
                if word not in known:
                    raise NiahError(f"{option} '{word}': unknown.{nearest(word, known)}")
        if self.poolings and self.window_s is not None:
            raise NiahError("--pooling is of positions in whole scenes: leave --window out")
        if not self.levels or len(set(self.levels)) != len(self.levels):
            raise NiahError(f"--level must be surround, mix or surround,mix; got '{self.level}'")
        for seconds in self.needle_s:
            frames = seconds * FRAMES_PER_SECOND
            if not 1 <= frames <= BASE_LENGTH_S * FRAMES_PER_SECOND or frames != round(frames):
                raise NiahError(
                    f"--needle-s must be 0.01 to 10 s in steps of 10 ms (10: the whole clip), got {seconds:g}"
                )
        if any(count < 1 for count in self.needle_counts):
            raise NiahError(f"--needle-count must be 1 or more, got {min(self.needle_counts)}")
        if any(count < 0 for count in self.distractors):
            raise NiahError(f"--distractors must be 0 or more, got {min(self.distractors)}")
        plain = (BASE_LENGTH_S, 1, 0)
        for (name, option), value in zip(V2_AXES, plain, strict=True):
            asked = getattr(self, name)
            if not asked:
                raise NiahError(f"give at least one of {option}")
            if self.protocol == "dass-v1" and set(asked) != {value}:
                raise NiahError(f"{option} is not part of dass-v1: add --protocol niah-v2")

    @property
    def levels(self) -> tuple[str, ...]:
        return tuple(level.strip() for level in self.level.split(",") if level.strip())

    @property
    def own_level(self) -> str:
        """The run's own: of its identity, and of rows that say no other."""
        return "surround" if "surround" in self.levels else self.levels[0]

    @property
    def clips_limit(self) -> int | None:
        return DEFAULT_LIMIT if self.limit is None and self.needles == "synthetic" else self.limit


@dataclass(frozen=True)
class Cell:
    """One measurement. The needle alone has neither haystack nor position; an axis is None where it is plain."""

    model: str
    haystack: str
    length_s: float
    snr_db: float | None = None
    position: float | None = None
    control: str | None = None
    pooling: str | None = None
    level: str | None = None
    needle_s: float | None = None
    needle_count: int | None = None
    distractors: int | None = None

    @property
    def is_base(self) -> bool:
        return self.length_s == BASE_LENGTH_S and self.control is None

    @property
    def is_rearranged(self) -> bool:
        """Whether its scene is more than a whole clip in a haystack."""
        return any((self.needle_s, self.needle_count, self.distractors))

    def __str__(self) -> str:
        told = [self.model if self.pooling is None else f"{self.model} ({self.pooling} pooling)"]
        if self.is_base:
            return f"{told[0]}, needle alone"
        level = "" if self.snr_db is None else f" {self.snr_db:g} dB"
        told += [f"{self.haystack}{level}", f"{self.length_s:g} s"]
        if self.position is not None:
            told.append(f"position {self.position:g}")
        return ", ".join([*told, *filter(None, (self.control, axes_name(asdict(self))))])


def model_cards_of(options: RunOptions) -> dict[str, ModelCard]:
    """Cards by the names that rows get: the card's, with `:WEIGHTS` unless they are its first.

    Random weights are a name of their own, for a run may hold the same model with trained ones.
    """
    cards: dict[str, ModelCard] = {}
    for spec in options.models:
        name, card = _named(spec, options.checkpoint)
        if name in cards:
            raise NiahError(f"model '{name}' was given twice")
        cards[name] = card
    if len({str(card.labels_source) for card in cards.values()}) > 1:
        told = ", ".join(f"{name} ({card.labels})" for name, card in cards.items())
        raise NiahError(
            f"models with different label sets cannot share a run: {told}. Run them one by one"
        )
    return cards


def spec_of(options: RunOptions, name: str) -> str:
    """What the user typed for the model that rows call `name`."""
    return next(spec for spec in options.models if _named(spec, options.checkpoint)[0] == name)


def _named(spec: str, checkpoint: str | None) -> tuple[str, ModelCard]:
    card, weights = find_model(spec)
    if checkpoint == RANDOM:
        return f"{card.name}:{RANDOM}", card
    first = next(iter(card.weights), "")
    return (card.name if weights == first else f"{card.name}:{weights}"), card


def plan(options: RunOptions, models: Sequence[str]) -> list[Cell]:
    """All cells, the shortest first within a model, each once; poolings of the same scenes side by side.

    What does not fit in its scene is left out.
    """
    poolings = dict.fromkeys(options.poolings) or (None,)
    return [
        replace(cell, pooling=pooling)
        for model in models
        for cell in _cells_of(options, model)
        for pooling in poolings
    ]


def left_out(options: RunOptions) -> list[str]:
    """What of the options was not planned, in words."""
    found = []
    for length in sorted(set(options.lengths_s) - {BASE_LENGTH_S}):
        for position in dict.fromkeys(options.positions):
            for cell in _arranged(options, Cell("", "", length, position=position)):
                if not _fits(cell, options.protocol):
                    what = axes_name(asdict(cell))
                    found.append(
                        f"{what}: no room in {length:g} s, position {position:g}; left out"
                    )
    return found


def _cells_of(options: RunOptions, model: str) -> Iterator[Cell]:
    yield Cell(model, NO_HAYSTACK, BASE_LENGTH_S)
    for length in sorted(set(options.lengths_s)):
        for plain in _places(options, model, length):
            if length != BASE_LENGTH_S:
                for position in dict.fromkeys(options.positions):
                    cells = _arranged(options, replace(plain, position=position))
                    yield from (cell for cell in cells if _fits(cell, options.protocol))
            yield from _controls(options, plain)


def _places(options: RunOptions, model: str, length_s: float) -> Iterator[Cell]:
    """Every haystack x SNR x level of one length."""
    for haystack in dict.fromkeys(options.haystacks):
        constant = haystack in CONSTANT_HAYSTACKS
        snrs: Sequence[float | None] = (None,) if constant else options.snrs_db
        levels = (options.own_level,) if constant else options.levels
        for snr in dict.fromkeys(snrs):
            for level in levels:
                other = None if level == options.own_level else level
                yield Cell(model, haystack, length_s, snr, level=other)


def _arranged(options: RunOptions, plain: Cell) -> Iterator[Cell]:
    for seconds in dict.fromkeys(options.needle_s):
        for count in dict.fromkeys(options.needle_counts):
            for distractors in dict.fromkeys(options.distractors):
                yield replace(
                    plain,
                    needle_s=None if seconds == BASE_LENGTH_S else seconds,
                    needle_count=None if count == 1 else count,
                    distractors=distractors or None,
                )


def _controls(options: RunOptions, place: Cell) -> Iterator[Cell]:
    """The needle-free scene: the haystack goes on, so that no position matters: one cell, also at 10 s. The sham: the
    needle's place holds another stretch of the haystack, a cell a position; a constant has no seam, so none."""
    if NEEDLE_FREE in options.controls:
        yield replace(place, control=NEEDLE_FREE)
    seams = place.haystack not in CONSTANT_HAYSTACKS and place.length_s != BASE_LENGTH_S
    if SHAM in options.controls and seams:
        for position in dict.fromkeys(options.positions):
            yield replace(place, position=position, control=SHAM)


def _fits(cell: Cell, protocol: str) -> bool:
    if not cell.is_rearranged:
        return True
    assert cell.position is not None
    frames = piece_frames(cell, LONGEST_NEEDLE_FRAMES)
    total = total_frames(cell.length_s)
    count, others = cell.needle_count or 1, cell.distractors or 0
    try:
        arrange(total, frames, cell.position, protocol, count, others)
    except NiahError:
        return False
    return True


def piece_frames(cell: Cell, needle_frames: int) -> int:
    """Frames of each clip in a cell's scenes, where the front end gives a whole one `needle_frames`."""
    return needle_frames if cell.needle_s is None else round(cell.needle_s * FRAMES_PER_SECOND)
