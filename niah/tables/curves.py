"""The lines that tables and figures are made of: one model in one kind of scene, by length.

A `LengthCurve` holds fixed all but the length: model (its weights and precision), haystack, SNR, position,
window, how windows or positions are pooled, and the further axes (level, needle's duration and
count, distractors). Controls, which have no needle, are on no line. Its first point is the needle
alone (10 s), which the model's lines share, since at 10 s there is no haystack.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from niah.errors import NiahError
from niah.records.naming import NO_HAYSTACK, Point, axes_name, pool_of, scene_name, window_name
from niah.records.schema import BASE_LENGTH_S

if TYPE_CHECKING:
    import pandas as pd

ONE_TABLE = ("protocol", "needles", "n_clips")
SAME_CLIPS = ("classes_scored", "chance_mAP")  # told by the clips' labels alone


@dataclass(frozen=True)
class LengthCurve:
    """What is held fixed, and the cells by length (a cell that was not run is not there)."""

    model: str
    haystack: str
    snr_db: float | None
    position: float | None
    window_s: float | None
    pool: str  # how the scores of windows became one, "" for whole scenes
    by_length: dict[float, Point] = field(hash=False)
    axes: str = ""  # "needle 5 s, 2 distractors"; "" for the whole clip once at the run's level

    @property
    def scene(self) -> str:
        """ "babble, 10 dB", "zero", "zero, needle 5 s"."""
        return ", ".join(filter(None, (scene_name(self.haystack, self.snr_db), self.axes)))

    @property
    def window(self) -> str:
        """ "whole", "10 s", "10 s, mean" (see `window_name`)."""
        return window_name(self.window_s, self.pool)

    @property
    def base(self) -> Point | None:
        """The cell of the needle alone, None when it was not run."""
        return self.by_length.get(BASE_LENGTH_S)

    def scored(self) -> list[tuple[float, Point]]:
        """The (length, cell) pairs that have an mAP, in order of length."""
        return [(s, p) for s, p in sorted(self.by_length.items()) if p["mAP"] is not None]


def lines(cells: "pd.DataFrame") -> list[LengthCurve]:
    """The lines of a run's cells, ordered by model, haystack, SNR and position.

    Raises `NiahError` when there are no cells, or when they mix protocols or clip lists: their
    scores are not comparable (macro mAP rises when there are fewer clips).
    """
    _refuse_mixed(cells)
    found = [point for point in points(cells) if not point.get("control")]
    if not found:
        raise NiahError("there are only controls yet, no scene with its needle: nothing to show")
    names = _model_names(found)
    grouped: dict[tuple[Any, ...], dict[float, Point]] = {}
    alone: dict[tuple[Any, ...], Point] = {}
    for point in found:
        how = (names[_variant(point)], point["window_s"], pool_of(point["kernel"]))
        length = float(point["length_s"])
        if length == BASE_LENGTH_S:
            alone.setdefault(how, point)
        place = (point["haystack"] or NO_HAYSTACK, point["snr_db"], point["position"])
        scene = (*place, axes_name(point))
        grouped.setdefault((how, scene), {})[length] = point
    longer = {how for (how, _), held in grouped.items() if _longer(held)}
    result = []
    for (how, scene), held in grouped.items():
        if not _longer(held) and how in longer:
            continue  # the needle alone is the first point of the other lines
        by_length = held if how not in alone else {BASE_LENGTH_S: alone[how], **held}
        (model, window_s, pool), (haystack, snr_db, position, axes) = how, scene
        result.append(
            LengthCurve(model, haystack, snr_db, position, window_s, pool, by_length, axes)
        )
    return sorted(result, key=_order)


def points(cells: "pd.DataFrame") -> list[Point]:
    """The rows as dictionaries, None where nothing is known."""
    import pandas as pd

    return [
        {str(name): None if pd.isna(value) else value for name, value in row.items()}
        for row in cells.to_dict("records")
    ]


def lengths(found: Iterable[LengthCurve]) -> list[float]:
    """Every length on any of the lines, ascending."""
    return sorted({length for line in found for length in line.by_length})


def chance(found: Iterable[LengthCurve]) -> float | None:
    """Expected mAP of random scores on the lines' clips, None when nothing was scored."""
    levels = [p["chance_mAP"] for line in found for p in line.by_length.values()]
    return next((float(level) for level in levels if level is not None), None)


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
    for column in SAME_CLIPS:
        levels = sorted({f"{float(value):.6g}" for value in cells[column].dropna()})
        if len(levels) > 1:
            raise NiahError(
                f"cells of different clips cannot be in one table ({column} is "
                f"{' and '.join(levels)}, though all name {cells['n_clips'].iloc[0]} clips): "
                "run them on the same list, or report them apart"
            )


Variant = tuple[str, str | None, str | None]


def _variant(point: Point) -> Variant:
    return point["model"], point["checkpoint_sha256"], point["dtype"]


def _model_names(found: Iterable[Point]) -> dict[Variant, str]:
    """How to call each model: by weights and precision too where there are several of them."""
    variants = {_variant(point) for point in found}
    weights = {(model, sha) for model, sha, _ in variants}
    models = [model for model, _ in weights]
    names = {}
    for model, sha, dtype in variants:
        name = model if models.count(model) == 1 else f"{model} ({str(sha)[:8]})"
        several = sum(each[:2] == (model, sha) for each in variants) > 1
        names[model, sha, dtype] = f"{name}, {dtype}" if several else name
    return names


def _order(line: LengthCurve) -> tuple[Any, ...]:
    # haystacks without a level first, then by falling SNR, which is rising difficulty
    quiet = line.snr_db is None
    level = 0.0 if line.snr_db is None else -line.snr_db
    place = (line.position or 0.0, line.window_s or 0.0, line.pool)
    return (line.model, not quiet, line.haystack, level, line.axes, *place)
