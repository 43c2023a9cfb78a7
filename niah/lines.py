"""The lines that tables and figures are made of: one model in one kind of scene, by length.

A `Line` holds fixed all but the length: model, haystack, SNR, position, window. Its first point is
the needle alone (10 s), which the model's lines share, since at 10 s there is no haystack.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from niah.cells import BASE_LENGTH_S
from niah.errors import NiahError

if TYPE_CHECKING:
    import pandas as pd

Point = dict[str, Any]  # a row of cells.csv; None where nothing is known
ONE_TABLE = ("protocol", "needles", "n_clips")
NO_HAYSTACK = "none"


@dataclass(frozen=True)
class Line:
    """What is held fixed, and the cells by length (a cell that was not run is not there)."""

    model: str
    haystack: str
    snr_db: float | None
    position: float | None
    window_s: float | None
    by_length: dict[float, Point] = field(hash=False)

    @property
    def scene(self) -> str:
        """ "babble, 10 dB", "zero"."""
        return scene_name(self.haystack, self.snr_db)

    @property
    def base(self) -> Point | None:
        """The cell of the needle alone, None when it was not run."""
        return self.by_length.get(BASE_LENGTH_S)

    def scored(self) -> list[tuple[float, Point]]:
        """The (length, cell) pairs that have an mAP, in order of length."""
        return [(s, p) for s, p in sorted(self.by_length.items()) if p["mAP"] is not None]


def lines(cells: "pd.DataFrame") -> list[Line]:
    """The lines of a run's cells, ordered by model, haystack, SNR and position.

    Raises `NiahError` when there are no cells, or when they mix protocols or clip lists: their
    scores are not comparable (macro mAP rises when there are fewer clips).
    """
    _refuse_mixed(cells)
    found = points(cells)
    names = _model_names(found)
    grouped: dict[tuple[Any, ...], dict[float, Point]] = {}
    alone: dict[tuple[Any, ...], Point] = {}
    for point in found:
        model, length = names[_weights(point)], float(point["length_s"])
        haystack = point["haystack"] or NO_HAYSTACK
        if length == BASE_LENGTH_S:
            alone.setdefault((model, point["window_s"]), point)
        scene = (model, haystack, point["snr_db"], point["position"], point["window_s"])
        grouped.setdefault(scene, {})[length] = point
    longer = {(model, window) for (model, *_, window), held in grouped.items() if _longer(held)}
    result = []
    for (model, haystack, snr_db, position, window_s), held in grouped.items():
        if not _longer(held) and (model, window_s) in longer:
            continue  # the needle alone is the first point of the other lines
        base = alone.get((model, window_s))
        by_length = held if base is None else {BASE_LENGTH_S: base, **held}
        result.append(Line(model, haystack, snr_db, position, window_s, by_length))
    return sorted(result, key=_order)


def points(cells: "pd.DataFrame") -> list[Point]:
    """The rows as dictionaries, None where nothing is known."""
    import pandas as pd

    return [
        {str(name): None if pd.isna(value) else value for name, value in row.items()}
        for row in cells.to_dict("records")
    ]


def lengths(found: Iterable[Line]) -> list[float]:
    """Every length on any of the lines, ascending."""
    return sorted({length for line in found for length in line.by_length})


def chance(found: Iterable[Line]) -> float | None:
    """Expected mAP of random scores on the lines' clips, None when nothing was scored."""
    levels = [p["chance_mAP"] for line in found for p in line.by_length.values()]
    return next((float(level) for level in levels if level is not None), None)


def scene_name(haystack: str, snr_db: float | None) -> str:
    """The kind of scene in words: "babble, 10 dB"; haystacks without a level have none."""
    return haystack if snr_db is None else f"{haystack}, {snr_db:g} dB"


def length_name(length_s: float) -> str:
    """ "50 s" below an hour, "2.5 h" from there."""
    return f"{length_s:g} s" if length_s < 3600 else f"{length_s / 3600:.3g} h"


def _longer(held: dict[float, Point]) -> bool:
    return any(length != BASE_LENGTH_S for length in held)


def _refuse_mixed(cells: "pd.DataFrame") -> None:
    if cells.empty:
        raise NiahError("there are no cells yet: nothing to show")
    for column in ONE_TABLE:
        values = sorted({str(value) for value in cells[column]})
        if len(values) > 1:
            raise NiahError(
                f"cells of {column} {' and '.join(values)} cannot be in one table: their scores "
                "are not comparable; report them apart"
            )


def _weights(point: Point) -> tuple[str, str | None]:
    return point["model"], point["checkpoint_sha256"]


def _model_names(found: Iterable[Point]) -> dict[tuple[str, str | None], str]:
    """How to call each (model, checkpoint): by the sha256 too where a model has two."""
    weights = {_weights(point) for point in found}
    models = [model for model, _ in weights]
    return {
        (model, sha): model if models.count(model) == 1 else f"{model} ({str(sha)[:8]})"
        for model, sha in weights
    }


def _order(line: Line) -> tuple[Any, ...]:
    # haystacks without a level first, then by falling SNR, which is rising difficulty
    quiet = line.snr_db is None
    level = 0.0 if line.snr_db is None else -line.snr_db
    place = (line.position or 0.0, line.window_s or 0.0)
    return (line.model, not quiet, line.haystack, level, *place)
