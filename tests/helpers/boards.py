"""Runs and tables for tests of the leaderboard."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from niah.cards import find_model
from niah.pages import leaderboard
from niah.pages.leaderboard import Board
from niah.records.cell_table import table
from niah.records.schema import Row
from tests.conftest import REPOSITORY
from tests.helpers import examples

EMBEDDED = REPOSITORY / "results" / "embedded"
DASS_NANO = find_model("dass-nano")[0].weights["embedded"].sha256
HOSTILE = "</script><script>hacked=1</script><img src=x onerror=hacked=1>'\"&|`[x](javascript:y)"


def bare(file: Path, rows: list[Row]) -> Path:
    """A cells.csv without a run.json."""
    file.parent.mkdir(parents=True, exist_ok=True)
    table(rows).to_csv(file, index=False)
    return file


def scored(length_s: float, share: float, **given: Any) -> Row:
    """A finished cell of a model whose 10 s score is 0.8."""
    known: dict[str, Any] = {
        **{"length_s": length_s, "mAP": 0.8 * share, "base_mAP": 0.8, "relative": share},
        **{"chance_mAP": 0.1, "rtf": 100.0 * length_s, "latency_s": 0.01, "kernel": "sdpa"},
        **{"dtype": "float32", "haystack": "none" if length_s == 10 else "zero"},
        **{"position": None if length_s == 10 else 0.5},
    }
    return examples.row(**{**known, **given})


def a_run(path: Path, rows: list[Row], **identity: Any) -> Path:
    """A run directory as it is published: cells.csv and run.json, no scores."""
    bare(path / "cells.csv", rows)
    told = {"schema_version": 1, "identity": {**examples.IDENTITY, **identity}}
    (path / "run.json").write_text(json.dumps(told))
    return path


def boards_of(*sources: Path) -> list[Board]:
    return leaderboard.boards(leaderboard.read(sources))


def shares(board: Board) -> dict[str, dict[float, float]]:
    return {
        entry.system.name: {s: p["relative"] for s, p in entry.line.by_length.items()}
        for entry in board.entries
    }


# --- names from outside


class Page(HTMLParser):
    """The text of each script element, the tags in order, and the text of table cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.fields: list[str] = []
        self._tag = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._tag = tag
        {"script": self.scripts, "style": self.styles, "td": self.fields}.get(tag, []).append("")

    def handle_endtag(self, _: str) -> None:
        self._tag = ""

    def handle_data(self, data: str) -> None:
        kept = {"script": self.scripts, "style": self.styles, "td": self.fields}.get(self._tag)
        if kept is not None:
            kept[-1] += data


def hostile(folder: Path) -> Path:
    """A run whose every name is an attack, of a machine whose folders are nobody's business."""
    rows = [
        scored(s, 1 if s == 10 else 0.5, model=HOSTILE, needles=HOSTILE, kernel=HOSTILE,
               haystack="none" if s == 10 else HOSTILE, device=HOSTILE)
        for s in (10, 50)
    ]  # fmt: skip
    run = a_run(folder, rows, needles=HOSTILE, labels=HOSTILE)
    told = json.loads((run / "run.json").read_text())
    told["arguments"] = {"babble": "/mnt/alice/secret/babble.wav", "labels": ["/m/09x0r", HOSTILE]}
    told["notes"] = [f"left out C:\\Users\\alice\\secret\\x.wav, ~/secret/y.wav: {HOSTILE}"]
    told["hardware"] = {"processor": HOSTILE, "cores": 2}
    told["models"] = {HOSTILE: {"licence": HOSTILE, "paper": HOSTILE, "parameters": float("nan")}}
    told["half"] = "\ud800"
    (run / "run.json").write_text(json.dumps(told))
    return run
