"""What a run will do: options checked, cells listed. No torch, nothing read but cards.

A cell is one model x haystack x SNR x length x position. The needle alone (10 s) is every model's base: it is
measured once a model, whatever was asked.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from niah.cards import ModelCard, find_model
from niah.cells import BASE_LENGTH_S
from niah.errors import NiahError
from niah.placement import FRAMES_PER_SECOND, check_position, check_protocol, total_frames

DEFAULT_MODELS = ("dass-nano", "ast-sin-nano")
DEFAULT_LENGTHS_S = (10.0, 20.0, 50.0, 100.0)
DEFAULT_HAYSTACKS = ("zero", "gaussian", "babble")
DEFAULT_SNRS_DB = (10.0,)
DEFAULT_POSITIONS = (0.5,)
DEFAULT_LIMIT = 100  # of the embedded needles; a set of one's own is used whole
CONSTANT_HAYSTACKS = ("zero", "silence")
NO_HAYSTACK = "none"
RANDOM = "random"


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
    level: str = "surround"
    window_s: float | None = None
    device: str = "auto"
    dtype: str = "float32"
    batch_size: int | None = None  # None is auto
    seed: int = 0
    out: Path = Path("runs/default")
    strict: bool = False

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
        if self.window_s is not None and not 1 / FRAMES_PER_SECOND <= self.window_s < math.inf:
            raise NiahError(f"--window must be 0.01 s (a frame) or more, got {self.window_s}")
        if self.checkpoint not in (None, RANDOM) and len(self.models) > 1:
            raise NiahError(
                f"--checkpoint {self.checkpoint} is one file, and {len(self.models)} models were asked for"
            )

    @property
    def clips_limit(self) -> int | None:
        return DEFAULT_LIMIT if self.limit is None and self.needles == "synthetic" else self.limit


@dataclass(frozen=True)
class Cell:
    """One measurement. The needle alone has neither haystack nor position."""

    model: str
    haystack: str
    length_s: float
    snr_db: float | None = None
    position: float | None = None

    @property
    def is_base(self) -> bool:
        return self.length_s == BASE_LENGTH_S

    def __str__(self) -> str:
        if self.is_base:
            return f"{self.model}, needle alone"
        level = "" if self.snr_db is None else f" {self.snr_db:g} dB"
        return (
            f"{self.model}, {self.haystack}{level}, {self.length_s:g} s, position {self.position:g}"
        )


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
    """All cells, the shortest first within a model, each once."""
    return [cell for model in models for cell in _cells_of(options, model)]


def _cells_of(options: RunOptions, model: str) -> Iterator[Cell]:
    yield Cell(model, NO_HAYSTACK, BASE_LENGTH_S)
    for length in sorted(set(options.lengths_s) - {BASE_LENGTH_S}):
        for haystack in dict.fromkeys(options.haystacks):
            snrs: Sequence[float | None] = (
                (None,) if haystack in CONSTANT_HAYSTACKS else options.snrs_db
            )
            for snr in dict.fromkeys(snrs):
                for position in dict.fromkeys(options.positions):
                    yield Cell(model, haystack, length, snr, position)
