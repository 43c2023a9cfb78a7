"""The numbers of a run that are published: one for each model, scene and length, with its interval and its floor."""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING

from niah.errors import NiahError, nearest
from niah.records.axes import is_noise_base
from niah.records.naming import NO_HAYSTACK, Point, axes_name, length_name, pool_of, position_name
from niah.records.schema import BASE_LENGTH_S
from niah.tables.curves import LengthCurve, length_curves, points

if TYPE_CHECKING:
    import pandas as pd

MIDDLE = 0.5  # the position that a task's name does not state


@dataclass(frozen=True)
class Headline:
    """One published number: the mAP of one cell.

    Attributes:
        model: name in the run, with the first digits of its weights' SHA-256 where several have it.
        task: identifier, letters, digits and underscores: "zero_50s", "babble_10db_300s_w10".
        words: the scene in words.
        point: the cell's row.
    """

    model: str
    task: str
    words: str
    point: Point

    @property
    def value(self) -> float:
        """Return mAP in [0, 1]."""
        return float(self.point["mAP"])

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Return the 95 % interval; None without one."""
        low, high = self.point["mAP_lo"], self.point["mAP_hi"]
        return None if low is None or high is None else (float(low), float(high))

    @property
    def setting(self) -> str:
        """Return protocol, clips, interval and chance in one line."""
        point = self.point
        parts = [f"{point['protocol']}, {point['n_clips']} clips of {point['needles']}", self.words]
        if self.bounds:
            parts.append(f"95 % interval {self.bounds[0]:.3f} to {self.bounds[1]:.3f}")
        if point["chance_mAP"] is not None:
            parts.append(f"chance {point['chance_mAP']:.3f}")
        return "; ".join(parts)


def headlines(cells: "pd.DataFrame", models: Iterable[str] = ()) -> list[Headline]:
    """Return the published numbers of a run: every scored cell without further axes, the clean 10 s cell first.

    Args:
        cells: rows of one protocol and list of clips.
        models: names of those that are published; empty for all.

    Raises:
        NiahError: the run has no such model, or no scored cell.
    """
    known = list(dict.fromkeys(map(str, cells["model"])))
    for name in models:
        if name not in known:
            raise NiahError(f"the run has no model '{name}'.{nearest(name, known)}")
    chosen = tuple(models) or tuple(known)
    curves = [c for c in length_curves(cells) if not c.axes and _row(c)["model"] in chosen]
    curves += _noise_bases(cells, curves)
    by_cell = {each.point["cell"]: each for curve in curves for each in _of_curve(curve)}
    if not by_cell:
        raise NiahError("the run has no scored cell of these models: nothing to publish")
    tasks: dict[str, str] = {}  # by the scene in words: two may differ in signs only
    results = []
    for each in by_cell.values():
        if each.words not in tasks:
            taken = {*tasks.values()}
            tasks[each.words] = _free(each.task, taken) if each.task in taken else each.task
        results.append(replace(each, task=tasks[each.words]))
    return results


def _row(curve: LengthCurve) -> Point:
    return next(iter(curve.by_length.values()))


def _noise_bases(cells: "pd.DataFrame", curves: Iterable[LengthCurve]) -> list[LengthCurve]:
    """Return the 10 s scenes in noise, which separate masking from length and are on no curve over lengths."""
    names = {_system(_row(curve)): curve.model for curve in curves}
    bases = [p for p in points(cells) if is_noise_base(p) and _system(p) in names]
    return [
        LengthCurve(
            names[_system(p)],
            p["haystack"],
            p["snr_db"],
            p["position"],
            p["window_s"],
            pool_of(p),
            {BASE_LENGTH_S: p},
        )
        for p in bases
        if not axes_name(p)
    ]


def _system(point: Point) -> tuple[object, ...]:
    return tuple(point[name] for name in ("model", "checkpoint_sha256", "dtype"))


def _free(task: str, taken: set[str]) -> str:
    """Return `task` with the first number that makes it new."""
    return next(name for n in count(2) if (name := f"{task}_{n}") not in taken)


def _of_curve(curve: LengthCurve) -> Iterator[Headline]:
    for length_s, point in curve.scored():
        alone = length_s == BASE_LENGTH_S and point["haystack"] == NO_HAYSTACK
        parts = ["clean" if alone else curve.haystack]
        words = "the clips alone" if alone else f"in {curve.scene}"
        if not alone and curve.snr_db is not None:
            parts.append(f"{curve.snr_db:g}db".replace("-", "minus_"))
        parts.append(f"{length_s:g}s")
        if not alone and curve.position not in (None, MIDDLE):
            parts.append(f"at_{curve.position:g}")
        if not alone and curve.position is not None:
            words += f", {position_name(curve.position)}"
        if curve.window_s is not None:
            parts.append(f"w{curve.window_s:g}")
            words += f", windows of {curve.window_s:g} s"
        if curve.pool not in ("", "max") or (curve.pool and curve.window_s is None):
            parts.append(curve.pool)
            words += f", pooled by {curve.pool}"
        task = re.sub(r"\W+", "_", "_".join(parts).replace(".", "p").replace("-", "_")).lower()
        yield Headline(curve.model, task, f"{words}, {length_name(length_s)}", point)


def by_model(results: Iterable[Headline]) -> dict[str, list[Headline]]:
    """Group headlines by model, in their order."""
    grouped: dict[str, list[Headline]] = {}
    for each in results:
        grouped.setdefault(each.model, []).append(each)
    return grouped


def file_name(model: str) -> str:
    """Return a model's name as the name of a file or folder, of at most 80 letters (255 bytes, with a hash)."""
    return re.sub(r"[^\w.-]+", "_", model).strip("._")[:80] or "model"


def folder_names(models: Iterable[str]) -> dict[str, str]:
    """Return the folder of each model: its name as `file_name`, with a hash of it where that is another's folder too.

    Names that differ in case alone are one folder on some disks.

    Args:
        models: names of all models of the run.
    """
    by_folder: dict[str, list[str]] = {}
    for model in sorted(set(models)):
        by_folder.setdefault(file_name(model).casefold(), []).append(model)
    folders: dict[str, str] = {}
    for alike in by_folder.values():
        plain = next((model for model in alike if file_name(model) == model), alike[0])
        for model in alike:
            digest = hashlib.sha256(model.encode(errors="replace")).hexdigest()[:8]
            folders[model] = file_name(model) + ("" if model == plain else f"-{digest}")
    return folders
