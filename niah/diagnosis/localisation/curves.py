"""Curves of localisation: the stored rows that differ in their length alone, by names that tell the curves apart."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from niah.diagnosis.localisation.rows import Located
from niah.records.naming import system_names
from niah.system.plurals import plural


@dataclass(frozen=True)
class LocatedCurve:
    """One curve.

    Attributes:
        model: its name, with the weights' SHA-256 where several have it.
        method: with its windows and number of clips where several were measured.
        scene: the haystack with its SNR.
        position: of the needle.
        position_text: the same in words.
        by_length: the rows, by length in seconds, ascending.
    """

    model: str
    method: str
    scene: str
    position: float
    position_text: str
    by_length: dict[float, Located] = field(hash=False)


def located_curves(rows: Sequence[Located]) -> list[LocatedCurve]:
    """Return the curves in the order of their first rows."""
    names = system_names((row.model, row.checkpoint_sha256) for row in rows)
    windows = _several((row.method, (row.window_s, row.hop_s)) for row in rows)
    counted = len({row.clips for row in rows}) > 1
    positions = _position_texts({row.position for row in rows})
    curves: dict[tuple[Any, ...], LocatedCurve] = {}
    for row in sorted(rows, key=lambda row: row.length_s):
        method = row.method
        if row.method in windows and row.window_s is not None:
            method += f", {row.window_s:g} s every {row.hop_s:g} s"
        if counted:
            method += f", {plural(row.clips, 'clip')}"
        key = (*_settings(row), row.clips)
        made = LocatedCurve(
            model=names[row.model, row.checkpoint_sha256],
            method=method,
            scene=row.scene,
            position=row.position,
            position_text=positions[row.position],
            by_length={},
        )
        curves.setdefault(key, made).by_length[row.length_s] = row
    first = {id(row): index for index, row in enumerate(rows)}
    return sorted(
        curves.values(), key=lambda curve: min(first[id(row)] for row in curve.by_length.values())
    )


def _settings(row: Located) -> tuple[Any, ...]:
    """Return all that a curve has in common."""
    where = (row.scene, row.position, row.tolerance_s)
    how = (row.model, row.checkpoint_sha256, row.method, row.window_s, row.hop_s)
    return (*how, *where)


def _several(pairs: Iterable[tuple[Any, Any]]) -> set[Any]:
    """Return the first members that occur with several second ones."""
    seen: dict[Any, set[Any]] = {}
    for first, second in pairs:
        seen.setdefault(first, set()).add(second)
    return {first for first, seconds in seen.items() if len(seconds) > 1}


def _position_texts(positions: set[float]) -> dict[float, str]:
    """Return each in few digits, in all of them where two would read alike."""
    short = {position: f"{position:g}" for position in positions}
    texts = list(short.values())
    return {p: repr(p) if texts.count(text) > 1 else text for p, text in short.items()}
