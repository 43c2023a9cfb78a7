"""Systems: what a board ranks, a checkpoint of a model with its pooling, precision and seeds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from niah.cards import model_cards
from niah.pages.leaderboard.submissions import LARGEST, Submission
from niah.records.naming import Point, pool_of

SubmittedCell = tuple[Submission, Point]
OWN_POOLING = "average"  # of every network with `--pooling`, unless its card or adapter has another
OWN_BY_ADAPTER = {"niah.adapters.yamnet:Yamnet": "mean-probability"}


@dataclass(frozen=True)
class System:
    """One system of the ranking.

    Attributes:
        name: on the board, different for each system.
        model: the card's name.
        weights: SHA-256 of the checkpoint; None if unknown.
        window_s: seconds of a sliding window; None for whole scenes.
        pool: pooling of windows or positions; "" for the model's own.
        dtype: precision of the computation.
        seed: of the choice of clips, and of the noise where `noise_seed` is None.
        noise_seed: of the noise.
        parameters: None if neither the run nor a card with these weights states them.
        trained_on_s: seconds of a training example; None as above.
        licence: of the weights.
        paper: of the model.
    """

    name: str
    model: str
    weights: str | None
    window_s: float | None
    pool: str
    dtype: str | None
    seed: int
    noise_seed: int | None
    parameters: int | None
    trained_on_s: float | None
    licence: str
    paper: str

    @property
    def mode(self) -> str:
        """Return "native"; "10 s windows" with their pooling; or "max pooling"."""
        if self.window_s is None:
            return f"{self.pool} pooling" if self.pool else "native"
        whole = f"{self.window_s:g} s windows"
        return f"{whole}, {self.pool}" if self.pool else whole


def system_key(cell: Point) -> tuple[Any, ...]:
    """Return everything that two cells of one system have in common."""
    how = (cell["window_s"], pool_of(cell), cell["dtype"], cell["seed"], cell.get("noise_seed"))
    return (cell["model"], cell["checkpoint_sha256"], *how)


def as_own_pooling(cell: Point) -> Point:
    """Return the cell as a plain one if its pooling is the model's own, as their scores are equal."""
    if cell.get("pooling") is None or cell["pooling"] != _own_pooling(cell["model"]):
        return cell
    return {**cell, "pooling": None}


def system_of(cells: Sequence[SubmittedCell]) -> System:
    """Return the system of these cells."""
    cell = cells[0][1]
    entry = next((stated for s, c in cells if (stated := s.model(c))), {})
    parameters, trained_on_s = _cards().get(
        (cell["model"], cell["checkpoint_sha256"]), (None, None)
    )
    noise_seed = cell.get("noise_seed")
    return System(
        name=cell["model"],
        model=cell["model"],
        weights=cell["checkpoint_sha256"],
        window_s=cell["window_s"],
        pool=pool_of(cell),
        dtype=cell["dtype"],
        seed=int(cell["seed"]),
        noise_seed=None if noise_seed is None else int(noise_seed),
        parameters=_number(entry.get("parameters")) or parameters,
        trained_on_s=_number(entry.get("trained_on_s")) or trained_on_s,
        licence=str(entry.get("licence") or ""),
        paper=str(entry.get("paper") or ""),
    )


@cache
def _cards() -> dict[tuple[str, str], tuple[int | None, float | None]]:
    """Return parameters and seconds trained on by (model, weights), from the package's cards."""
    return {
        (card.name, weights.sha256): (card.parameters or None, card.trained_on_s or None)
        for card in model_cards()
        for weights in card.weights.values()
        if weights.sha256
    }


@cache
def _own_pooling(model: str) -> str:
    card = next((card for card in model_cards() if card.name == model), None)
    if card is None:
        return OWN_POOLING
    return str(card.config.get("pooling") or OWN_BY_ADAPTER.get(card.adapter, OWN_POOLING))


def _number(value: object) -> Any:
    """Return the value if it is a number that a page can show."""
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST:
        return value
    return None


def with_distinct_names(systems: Sequence[System]) -> list[System]:
    """Return the systems, their names extended by precision, seeds and weights where these differ."""
    usual = {"float32", None}
    named = []
    for system in systems:
        alike = [other for other in systems if other.model == system.model]
        parts = []
        if len({other.weights for other in alike}) > 1:
            parts.append(str(system.weights)[:8])
        if len({other.seed for other in alike}) > 1:
            parts.append(f"seed {system.seed}")
        if len({other.noise_seed for other in alike}) > 1:
            noise = system.seed if system.noise_seed is None else system.noise_seed
            parts.append(f"noise seed {noise}")
        if system.dtype not in usual:
            parts.append(str(system.dtype))
        if system.mode != "native":
            parts.append(system.mode)
        named.append(replace(system, name=", ".join([system.model, *parts])))
    return named
