"""Curves of tables and figures: one model in one kind of scene, by length.

A `LengthCurve` fixes everything but the length: model (its weights and precision), haystack, SNR, position,
window, pooling of windows or positions, and the further axes (level, the needle's duration and
count, distractors). Controls, which have no needle, are on no curve. The first point is the needle
alone (10 s), which the model's curves share, since at 10 s there is no haystack.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from niah.errors import NiahError
from niah.records.axes import MASKING_AXES, OWN, SCENE_AXES, is_noise_base
from niah.records.naming import (
    NO_HAYSTACK,
    Point,
    axes_name,
    pool_of,
    scene_name,
    system_names,
    window_name,
)
from niah.records.schema import BASE_LENGTH_S
from niah.records.summarise import noise_key
from niah.tables.positions import needle_position

if TYPE_CHECKING:
    import pandas as pd

ONE_TABLE = ("protocol", "needles", "n_clips")
SAME_CLIPS = ("classes_scored", "chance_mAP")  # they follow from the clips' labels alone


@dataclass(frozen=True)
class LengthCurve:
    """The fixed settings, and the cells by length (without those that were not run)."""

    model: str
    haystack: str
    snr_db: float | None
    position: float | None
    window_s: float | None
    pool: str  # pooling of the windows' scores, "" for whole scenes
    by_length: dict[float, Point] = field(hash=False)
    axes: str = ""  # "needle 5 s, 2 distractors"; "" for the whole clip once at the run's level
    also_at: tuple[float, ...] = ()  # further positions that play the same scenes at every length
    noise_base: Point | None = field(
        default=None, hash=False
    )  # 10 s with the noise under the needle

    @property
    def scene(self) -> str:
        """Return the scene in words: "babble, 10 dB", "zero", "zero, needle 5 s"."""
        return ", ".join(filter(None, (scene_name(self.haystack, self.snr_db), self.axes)))

    @property
    def positions(self) -> str:
        """Return "0.5"; "0.5 = 0.75 = 1" where these give one scene by the protocol; "" without positions."""
        own = () if self.position is None else (self.position, *self.also_at)
        return " = ".join(dict.fromkeys(f"{position:g}" for position in own))

    @property
    def window(self) -> str:
        """Return "whole", "10 s", "10 s, mean" (`window_name`)."""
        return window_name(self.window_s, self.pool)

    @property
    def base(self) -> Point | None:
        """Return the cell of the needle alone; None when it was not run."""
        return self.by_length.get(BASE_LENGTH_S)

    @property
    def chance_share(self) -> float | None:
        """Return the score of random scores as a share of the 10 s score; None where it is unknown."""
        base = self.base or {}
        known = base.get("chance_mAP") is not None and base.get("mAP")
        return float(base["chance_mAP"] / base["mAP"]) if known else None

    def scored(self) -> list[tuple[float, Point]]:
        """Return the (length, cell) pairs that have an mAP, in order of length."""
        return [(s, p) for s, p in sorted(self.by_length.items()) if p["mAP"] is not None]


def length_curves(cells: "pd.DataFrame") -> list[LengthCurve]:
    """Return the curves of a run's cells, ordered by model, haystack, SNR and position.

    Raises:
        NiahError: there are no cells, or they mix protocols or clip lists, whose scores are not
            comparable (macro mAP rises when there are fewer clips).
    """
    _refuse_mixed(cells)
    needles = [p for p in points(cells) if not p.get("control")]
    scenes = [p for p in needles if not is_noise_base(p)]
    noise_bases = {noise_key(p): p for p in needles if _is_plain_noise_base(p)}
    if not scenes:
        raise NiahError("there are only controls, no scene with a needle: nothing to show")
    names = variant_names(scenes)
    grouped: dict[tuple[Any, ...], dict[float, Point]] = {}
    alone: dict[tuple[Any, ...], Point] = {}
    for point in scenes:
        system = (names[variant_of(point)], point["window_s"], pool_of(point))
        length_s = float(point["length_s"])
        if length_s == BASE_LENGTH_S:
            alone.setdefault(system, point)
        place = (point["haystack"] or NO_HAYSTACK, point["snr_db"], point["position"])
        scene = (*place, axes_name(point))
        grouped.setdefault((system, scene), {})[length_s] = point
    longer = {system for (system, _), by_length in grouped.items() if _is_longer(by_length)}
    curves = []
    for (system, scene), by_length in grouped.items():
        if not _is_longer(by_length) and system in longer:
            continue  # the needle alone is the first point of the other curves
        if system in alone:
            by_length = {BASE_LENGTH_S: _masked(alone[system], by_length), **by_length}
        (model, window_s, pool), (haystack, snr_db, position, axes) = system, scene
        noise_base = noise_bases.get(noise_key(by_length[max(by_length)]))
        curves.append(
            LengthCurve(
                *(model, haystack, snr_db, position, window_s, pool, by_length, axes),
                noise_base=noise_base,
            )
        )
    return sorted(curves, key=_order)


def at_one_position(curves: Sequence[LengthCurve], most: int) -> list[LengthCurve]:
    """Return the curves that a reader can take in: all of them, or those with the needle nearest the middle.

    Args:
        curves: of a run, or of a kind of scene.
        most: number up to which all are shown. Of more, those without a position stay too.
    """
    positions = {curve.position for curve in curves if curve.position is not None}
    if len(curves) <= most or len(positions) < 2:
        return list(curves)
    middle = min(positions, key=lambda position: (abs(position - 0.5), position))
    return [curve for curve in curves if curve.position in (None, middle)]


def distinct_curves(curves: Iterable[LengthCurve]) -> list[LengthCurve]:
    """Merge the curves whose positions give the same scene at every length.

    Under `dass-v1` the positions 0.5, 0.75 and 1 are one scene at 20 s (`niah.tables.positions`).
    """
    merged: dict[Any, LengthCurve] = {}
    for curve in curves:
        places = {
            length_s: needle_position(point)
            for length_s, point in curve.by_length.items()
            if length_s != BASE_LENGTH_S
        }
        others = (curve.model, curve.scene, curve.window_s, curve.pool)
        # curves without longer scenes differ in nothing but their position
        key = (*others, tuple(sorted(places.items()))) if places else (*others, curve.position)
        first = merged.get(key)
        if first is None or curve.position is None:
            merged[key] = curve
        else:
            merged[key] = replace(first, also_at=(*first.also_at, curve.position))
    return list(merged.values())


def points(cells: "pd.DataFrame") -> list[Point]:
    """Return the rows as dictionaries, with None for missing values."""
    import pandas as pd

    return [
        {str(name): None if pd.isna(value) else value for name, value in row.items()}
        for row in cells.to_dict("records")
    ]


def relative_share(point: Point) -> float | None:
    """Return a cell's mAP as a share of the 10 s mAP.

    None where it is unknown, and of natural crops: a crop is no longer version of the clip cut out.
    """
    return None if point["haystack"] == OWN else point["relative"]


def lengths(curves: Iterable[LengthCurve]) -> list[float]:
    """Return every length in seconds on any of the curves, ascending."""
    return sorted({length_s for curve in curves for length_s in curve.by_length})


def chance(curves: Iterable[LengthCurve]) -> float | None:
    """Return the expected mAP of random scores on the curves' clips, None when nothing was scored."""
    levels = [p["chance_mAP"] for curve in curves for p in curve.by_length.values()]
    return next((float(level) for level in levels if level is not None), None)


def without_masks(cells: "pd.DataFrame") -> "pd.DataFrame":
    """Return the cells in whose scenes every label counts: where those of other clips do not, chance differs."""
    for name in MASKING_AXES:
        cells = cells[cells[name].isna()] if name in cells else cells
    return cells[cells["haystack"] != OWN]


def _is_longer(by_length: dict[float, Point]) -> bool:
    return any(length_s != BASE_LENGTH_S for length_s in by_length)


def _is_plain_noise_base(point: Point) -> bool:
    """Return whether a row is the whole clip, once and alone, mixed with noise at 10 s."""
    plain = not any(point.get(name) for name in SCENE_AXES if name != "level")
    return is_noise_base(point) and point["haystack"] != OWN and plain


def _masked(alone: Point, longer: dict[float, Point]) -> Point:
    """Return the cell of the needle alone as the longer ones are compared with it.

    The labels of other clips in a scene, the same at every length, do not count, and its 10 s score is without them.
    """
    masked = (p for _, p in sorted(longer.items()) if any(p.get(name) for name in MASKING_AXES))
    first = next((p for p in masked if p["base_mAP"] is not None), None)
    if first is None:
        return alone
    unknown = dict.fromkeys(("mAP_lo", "mAP_hi", "auc", "d_prime"))
    return {**alone, **unknown, "mAP": first["base_mAP"], "chance_mAP": first["chance_mAP"]}


def _refuse_mixed(cells: "pd.DataFrame") -> None:
    if cells.empty:
        raise NiahError("there are no cells yet: nothing to show")
    for column in ONE_TABLE:
        values = sorted({str(value) for value in cells[column]})
        if len(values) > 1:
            raise NiahError(
                f"cells of {column} {' and '.join(values)} cannot be in one table: their scores "
                "are not comparable; report them separately"
            )
    whole = without_masks(cells)
    for column in SAME_CLIPS:
        levels = sorted({f"{float(value):.6g}" for value in whole[column].dropna()})
        if len(levels) > 1:
            raise NiahError(
                f"cells of different clips cannot be in one table ({column} is "
                f"{' and '.join(levels)}, though all name {cells['n_clips'].iloc[0]} clips): "
                "run them on the same list, or report them separately"
            )


Variant = tuple[str, str | None, str | None]


def variant_of(point: Point) -> Variant:
    """Return what tells the models of a table apart: name, SHA-256 of the weights, precision."""
    return point["model"], point["checkpoint_sha256"], point["dtype"]


def variant_names(scenes: Iterable[Point]) -> dict[Variant, str]:
    """Name each model, with weights and precision where there are several of them."""
    variants = {variant_of(point) for point in scenes}
    systems = system_names((model, sha) for model, sha, _ in variants)
    names = {}
    for model, sha, dtype in variants:
        name = systems[model, sha]
        several = sum(each[:2] == (model, sha) for each in variants) > 1
        names[model, sha, dtype] = f"{name}, {dtype}" if several else name
    return names


def _order(curve: LengthCurve) -> tuple[Any, ...]:
    # haystacks without an SNR first, then by falling SNR, that is rising difficulty
    quiet = curve.snr_db is None
    level = 0.0 if curve.snr_db is None else -curve.snr_db
    place = (curve.position or 0.0, curve.window_s or 0.0, curve.pool)
    return (curve.model, not quiet, curve.haystack, level, curve.axes, *place)
