"""What is ranked on a board: a checkpoint of a model, whole or in windows, at one precision and seed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import isfinite
from typing import Any

from niah.cards import model_cards
from niah.pages.leaderboard.submissions import Submission
from niah.records.naming import Point, pool_of

Handed = tuple[Submission, Point]


@dataclass(frozen=True)
class System:
    """What is ranked. `weights` is the checkpoint's sha256; `window_s` None means whole scenes.

    `pool` is how the scores of windows became one, "" for the model's own way. `parameters` and
    `trained_on_s` are None where neither the run nor a card with these weights says.
    """

    name: str
    model: str
    weights: str | None
    window_s: float | None
    pool: str
    dtype: str | None
    seed: int
    parameters: int | None
    trained_on_s: float | None
    licence: str
    paper: str

    @property
    def mode(self) -> str:
        """ "native", or "10 s windows" and how they are pooled."""
        whole = "native" if self.window_s is None else f"{self.window_s:g} s windows"
        return f"{whole}, {self.pool}" if self.pool else whole


def ranked(cell: Point) -> tuple[Any, ...]:
    """What makes two cells one system's."""
    whole = (cell["model"], cell["checkpoint_sha256"], cell["window_s"], pool_of(cell))
    return (*whole, cell["dtype"], cell["seed"])


def system_of(held: Sequence[Handed]) -> System:
    """The system that all these cells are of."""
    cell = held[0][1]
    told = next((d for s, c in held if (d := s.model(c["model"]))), {})
    carded = _carded().get((cell["model"], cell["checkpoint_sha256"]), (None, None))
    return System(
        name=cell["model"],
        model=cell["model"],
        weights=cell["checkpoint_sha256"],
        window_s=cell["window_s"],
        pool=pool_of(cell),
        dtype=cell["dtype"],
        seed=int(cell["seed"]),
        parameters=_number(told.get("parameters")) or carded[0],
        trained_on_s=_number(told.get("trained_on_s")) or carded[1],
        licence=str(told.get("licence") or ""),
        paper=str(told.get("paper") or ""),
    )


@cache
def _carded() -> dict[tuple[str, str], tuple[int | None, float | None]]:
    """Parameters and seconds trained on by (model, weights), of the cards that are shipped."""
    return {
        (card.name, weights.sha256): (card.parameters or None, card.trained_on_s or None)
        for card in model_cards()
        for weights in card.weights.values()
        if weights.sha256
    }


def _number(value: object) -> Any:
    known = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    return value if known else None


def named(systems: Sequence[System]) -> list[System]:
    """Systems with names of their own: precision, seed and weights are told where they differ."""
    usual = {"float32", None}
    told = []
    for system in systems:
        alike = [other for other in systems if other.model == system.model]
        parts = []
        if len({other.weights for other in alike}) > 1:
            parts.append(str(system.weights)[:8])
        if len({other.seed for other in alike}) > 1:
            parts.append(f"seed {system.seed}")
        if system.dtype not in usual:
            parts.append(str(system.dtype))
        if system.mode != "native":
            parts.append(system.mode)
        told.append(replace(system, name=", ".join([system.model, *parts])))
    return told
