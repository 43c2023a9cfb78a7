"""What the page draws from: boards and provenance as one JSON object.

Numbers go in with five significant digits: more cannot be seen, and the exact ones are in
leaderboard.csv. Every share, effective length and chance level is computed here, not in the page.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from niah.pages.leaderboard.boards import Board, Entry
from niah.pages.leaderboard.effective import Told, effective_lengths
from niah.pages.leaderboard.provenance import hardware, sections
from niah.pages.leaderboard.submissions import Submission
from niah.pages.leaderboard.systems import System
from niah.records.naming import Point, length_name
from niah.records.schema import BASE_LENGTH_S

Json = dict[str, Any]


def script_text(boards: Sequence[Board], submissions: Sequence[Submission]) -> str:
    """The JSON as it may stand in a script element: no character that could end or open a tag."""
    text = json.dumps(payload(boards, submissions), allow_nan=False, separators=(",", ":"))
    for character in "<>&":  # U+2028 and its like are escaped already: the text is ASCII
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def payload(boards: Sequence[Board], submissions: Sequence[Submission]) -> Json:
    """{"boards", "runs", "length_names"}; `niah/leaderboard/static/*.js` read it."""
    lengths = sorted({length for board in boards for length in board.lengths})
    runs = {each.name: each for each in submissions}
    return {
        "base_s": BASE_LENGTH_S,
        "length_names": {f"{length:g}": length_name(length) for length in lengths},
        "runs": {name: _run(each) for name, each in runs.items()},
        "boards": [_board(board, runs) for board in boards],
    }


def _run(submission: Submission) -> Json:
    return {
        "hardware": hardware(submission.provenance),
        "sections": sections(submission.provenance),
    }


def _board(board: Board, runs: Mapping[str, Submission]) -> Json:
    systems = list(dict.fromkeys(entry.system for entry in board.entries))
    origin = {cell["cell"]: run for run, cell in board.cells}
    return {
        "protocol": board.protocol,
        "level": board.level,
        "needles": board.needles,
        "clips": board.n_clips,
        "labels": board.labels,
        "ids_sha256": board.ids_sha256,
        "chance": _short(board.chance),
        "notes": board.notes,
        "lengths": board.lengths,
        "systems": [_system(system) for system in systems],
        "entries": [_entry(entry, systems, origin, runs) for entry in board.entries],
    }


def _system(system: System) -> Json:
    return {
        "name": system.name,
        "model": system.model,
        "mode": system.mode,
        "windowed": system.window_s is not None,
        "weights": system.weights,
        "dtype": system.dtype,
        "seed": system.seed,
        "parameters": system.parameters,
        "trained_on_s": system.trained_on_s,
        "licence": system.licence,
        "paper": system.paper,
    }


def _entry(
    entry: Entry,
    systems: Sequence[System],
    origin: Mapping[str, str],
    runs: Mapping[str, Submission],
) -> Json:
    line = entry.line
    return {
        "system": systems.index(entry.system),
        "haystack": line.haystack,
        "snr_db": line.snr_db,
        "scene": line.scene,
        "position": line.position,
        "runs": entry.runs,
        "effective": {name: _effective(told) for name, told in effective_lengths(line).items()},
        "cells": [
            _cell(s, point, hardware(runs[origin[point["cell"]]].provenance))
            for s, point in sorted(line.by_length.items())
        ],
    }


def _effective(told: Told | None) -> Json | None:
    if told is None:
        return None
    seconds = _short(told.length.at.length_s)
    return {"s": seconds, "text": told.text, "interval": told.interval, "dips": told.length.dips}


def _cell(length_s: float, point: Point, machine: str) -> Json:
    floor = point["chance_mAP"] / point["base_mAP"] if point["base_mAP"] else None
    return {
        "s": length_s,
        "cell": point["cell"],
        "status": point["status"],
        "mAP": _short(point["mAP"]),
        "mAP_lo": _short(point["mAP_lo"]),
        "mAP_hi": _short(point["mAP_hi"]),
        "share": _short(point["relative"]),
        # a greater drop is a smaller share
        "share_lo": None if point["drop_hi"] is None else _short(1 - point["drop_hi"]),
        "share_hi": None if point["drop_lo"] is None else _short(1 - point["drop_lo"]),
        "share_by_chance": _short(floor),
        "auc": _short(point["auc"]),
        "d_prime": _short(point["d_prime"]),
        "latency_s": _short(point["latency_s"]),
        "rtf": _short(point["rtf"]),
        "memory": point["peak_memory_bytes"],
        "machine": machine or point["device"] or "",
        "kernel": point["kernel"],
        "niah_version": point["niah_version"],
        "error": point["error"],
    }


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.5g}")
