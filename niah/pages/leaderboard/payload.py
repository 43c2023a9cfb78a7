"""The page's data: boards and provenance as one JSON object.

Scores are exact, so that they round as in the tables.
Every share, effective length, rank and chance level is computed here, not in the page.
"""

import json
from collections.abc import Sequence
from math import isfinite
from typing import Any

from niah.diagnosis.false_alarms.rows import RecallAtRate
from niah.pages.leaderboard.boards import Board, Entry
from niah.pages.leaderboard.markdown import by_intervals_note, moved_notes
from niah.pages.leaderboard.ranking import QUANTITIES, Ranker, Ranking, at_chance, common_length
from niah.pages.leaderboard.submissions import Submission
from niah.pages.leaderboard.systems import System
from niah.pages.provenance import hardware, sections
from niah.plots.curves import adjusted_of
from niah.records.naming import Point, length_name
from niah.records.schema import BASE_LENGTH_S
from niah.tables.effective_lengths import KeptLength, effective_lengths
from niah.tables.positions import MOVED, is_moved

Json = dict[str, Any]
SORT_STEP = {"": 0.0, "<": -1e-9, ">=": 1e-9}  # below or above the same length measured exactly


def script_text(boards: Sequence[Board], submissions: Sequence[Submission]) -> str:
    """Return the JSON for a script element, without characters that could open or close a tag."""
    text = json.dumps(payload(boards, submissions), allow_nan=False, separators=(",", ":"))
    for character in "<>&":  # U+2028 and its like are escaped already: the text is ASCII
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def payload(boards: Sequence[Board], submissions: Sequence[Submission]) -> Json:
    """Return {"boards", "runs", "length_names", "base_s"}, the data of `static/*.js`."""
    lengths = sorted({length for board in boards for length in board.lengths})
    runs = {each.name: each for each in submissions}
    return {
        "base_s": BASE_LENGTH_S,
        "length_names": {f"{length:g}": length_name(length) for length in lengths},
        "runs": {name: _run(each) for name, each in runs.items()},
        "boards": [_board(board) for board in boards],
    }


def _run(submission: Submission) -> Json:
    return {
        "hardware": hardware(submission.provenance),
        "scores": submission.scores,
        "sections": sections(submission.provenance),
    }


def _board(board: Board) -> Json:
    systems = list(dict.fromkeys(entry.system for entry in board.entries))
    scenes, rankings = _scenes(board)
    by_intervals = sum(ranking.n_by_intervals for ranking in rankings)
    notes = [*board.notes, *moved_notes(board)]
    if by_intervals:
        notes.append(by_intervals_note(by_intervals, sum(r.n_pairs for r in rankings)))
    return {
        "protocol": board.protocol,
        "level": board.level,
        "needles": board.needles,
        "clips": board.n_clips,
        "labels": board.labels,
        "ids_sha256": board.ids_sha256,
        "chance": _finite(board.chance),
        "notes": notes,
        "lengths": board.lengths,
        "rates": [f"{rate:g}" for rate in board.rates],
        "systems": [_system(system) for system in systems],
        "scenes": scenes,
        "entries": [_entry(entry, systems, board) for entry in board.entries],
    }


def _scenes(board: Board) -> tuple[list[Json], list[Ranking]]:
    """Return each scene with its longest common length, and the ranks of its entries by quantity and length."""
    ranker = Ranker(board)
    scenes, rankings = [], []
    for (name, position), entries in board.scenes.items():
        lengths = sorted({s for entry in entries for s, _ in entry.line.scored()})
        ranks: dict[str, Json] = {}
        p_values: Json = {}
        for quantity in QUANTITIES:
            for length in lengths:
                if quantity != "mAP" and length == BASE_LENGTH_S:
                    continue  # 1 for all
                ranking = ranker.rank(entries, length, quantity)
                rankings.append(ranking)
                ranks.setdefault(quantity, {})[f"{length:g}"] = _ranks(board, ranking)
                if quantity == "mAP":
                    p_values[f"{length:g}"] = _p_values(board, ranking)
        scene = {"scene": name, "position": position, "common": common_length(entries)}
        scenes.append({**scene, "ranks": ranks, "p": p_values})
    return scenes, rankings


def _ranks(board: Board, ranking: Ranking) -> Json:
    """Return [rank, last possible rank] by the entry's index; null for one at chance."""
    indices = {entry: index for index, entry in enumerate(board.entries)}
    return {
        str(indices[entry]): None if rank is None else [rank.rank, rank.last]
        for entry, rank in ranking.ranks.items()
    }


def _p_values(board: Board, ranking: Ranking) -> Json:
    """Return the indices of ranked entries and, of each, its p-values against those after it; null where unknown.

    n systems have n (n - 1) / 2 of them a scene and length, most of a large page: they have six digits.
    """
    indices = {entry: index for index, entry in enumerate(board.entries)}
    known = {
        frozenset((indices[a], indices[b])): float(f"{p:.6g}")
        for (a, b), p in ranking.p_values.items()
    }
    ranked = sorted(frozenset().union(*known))
    rows = [
        [_finite(known.get(frozenset((one, other)))) for other in ranked[place + 1 :]]
        for place, one in enumerate(ranked)
    ]
    return {"of": ranked, "against": rows}


def _system(system: System) -> Json:
    return {
        "name": system.name,
        "model": system.model,
        "mode": system.mode,
        "windowed": system.window_s is not None,
        "weights": system.weights,
        "dtype": system.dtype,
        "seed": system.seed,
        "noise_seed": system.noise_seed,
        "parameters": system.parameters,
        "trained_on_s": system.trained_on_s,
        "licence": system.licence,
        "paper": system.paper,
    }


def _entry(entry: Entry, systems: Sequence[System], board: Board) -> Json:
    curve = entry.line
    return {
        "system": systems.index(entry.system),
        "haystack": curve.haystack,
        "snr_db": curve.snr_db,
        "scene": curve.scene,
        "position": curve.position,
        "runs": entry.runs,
        "effective": {
            name: _effective(length) for name, length in effective_lengths(curve).items()
        },
        "cells": [
            {
                **_cell(s, point, hardware(board.origin[point["cell"]].provenance)),
                "recalls": {
                    f"{row.per_hour:g}": _recall(row)
                    for row in board.recalls(point)
                    if row.recall is not None and s != BASE_LENGTH_S
                },
            }
            for s, point in sorted(curve.by_length.items())
        ],
    }


def _effective(length: KeptLength | None) -> Json | None:
    """Return a length for the page; a censored one (`s`) sorts above the same length measured, below longer ones."""
    if length is None:
        return None
    at = length.length.at
    seconds = None if length.at_chance else at.length_s * (1 + SORT_STEP[at.censored])
    return {
        "s": seconds,
        "text": length.text,
        "interval": length.interval,
        "dips": length.length.dips and not length.at_chance,
    }


def _recall(row: RecallAtRate) -> Json:
    return {
        "recall": _finite(row.recall),
        "recall_lo": _finite(row.recall_lo),
        "recall_hi": _finite(row.recall_hi),
    }


def _cell(length_s: float, point: Point, machine: str) -> Json:
    known_floor = point["base_mAP"] and point["chance_mAP"] is not None
    above = adjusted_of(point) or (None, None, None)
    spread = above[1] != above[2]
    return {
        "s": length_s,
        "cell": point["cell"],
        "status": point["status"],
        "mAP": _finite(point["mAP"]),
        "mAP_lo": _finite(point["mAP_lo"]),
        "mAP_hi": _finite(point["mAP_hi"]),
        "at_chance": point["mAP"] is not None and at_chance(point),
        "mark": MOVED if is_moved(point) else None,
        "share": _finite(point["relative"]),
        # a greater drop is a smaller share
        "share_lo": None if point["drop_hi"] is None else _finite(1 - point["drop_hi"]),
        "share_hi": None if point["drop_lo"] is None else _finite(1 - point["drop_lo"]),
        "share_by_chance": _finite(point["chance_mAP"] / point["base_mAP"])
        if known_floor
        else None,
        "adjusted": _finite(above[0]),
        "adjusted_lo": _finite(above[1]) if spread else None,
        "adjusted_hi": _finite(above[2]) if spread else None,
        "needle_free": _finite(point.get("needle_free_mAP")),
        "auc": _finite(point["auc"]),
        "d_prime": _finite(point["d_prime"]),
        "latency_s": _finite(point["latency_s"]),
        "rtf": _finite(point["rtf"]),
        "memory": point["peak_memory_bytes"],
        "machine": machine or point["device"] or "",
        "kernel": point["kernel"],
        "niah_version": point["niah_version"],
        "error": point["error"],
    }


def _finite(value: float | None) -> float | None:
    """Return a number; None for unknown or infinite values, which JSON does not have."""
    return float(value) if value is not None and isfinite(value) else None
