"""Faulty models: refused before anything is measured, or a row with the reason while the run goes on."""

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from niah.errors import NiahError
from niah.frontends.kaldi import KaldiFrontend
from niah.sweep.loop import sweep
from niah.sweep.options import RunOptions
from tests.helpers import tiny
from tests.helpers.tiny_sweep import (
    Material,
)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "float8"}, "unknown dtype 'float8'"),
        ({"device": "tpu9"}, "unknown device|not on this machine"),
        ({"checkpoint": "nowhere.pth"}, "nowhere.pth not found"),
        ({"haystack": ["zero", "silence"]}, "'silence' is not part of dass-v1"),
        ({"level": "mix"}, "--level is not part of dass-v1"),
        ({"level": "mux"}, "--level 'mux': unknown"),
    ],
)
def test_nothing_is_written_for_what_cannot_run(
    material: Material, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(NiahError, match=message):
        material.run(tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_model_that_does_not_load_is_told_before_the_first_is_measured(
    material: Material, tmp_path: Path
) -> None:
    wide = tiny.card(material.folder / "wide", "wide", hidden=32)
    (tmp_path / material.weights.name).write_bytes(material.weights.read_bytes())
    weights = f'[weights.own]\nfile = "{material.weights.name}"\n'
    for path in (material.card, wide):
        (tmp_path / path.name).write_text(path.read_text() + "\n" + weights)
    (tmp_path / "labels.csv").write_text((material.folder / "labels.csv").read_text())
    cards = [str(tmp_path / path.name) for path in (material.card, wide)]
    with pytest.raises(NiahError, match=r"does not fit.*hidden.weight is \(16, 128\), not \(32"):
        material.run(tmp_path / "out", models=cards, checkpoint=None)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("fault", ["raises", "exits", "nan"])
def test_one_bad_cell_is_a_row_and_the_run_goes_on(
    fault: str, material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception of the adapter's own, or NaN, at 12 s alone: 10 s and 20 s are scored, the row says where."""
    logits = tiny.TinyTagger.logits

    def faulty(self: tiny.TinyTagger, features: Any) -> Any:
        if features.shape[1] != 1200:
            return logits(self, features)
        if fault == "raises":
            raise KeyError("no such state")
        if fault == "exits":
            sys.exit("no licence")
        return logits(self, features) * float("nan")

    monkeypatch.setattr(tiny.TinyTagger, "logits", faulty)
    notes: list[str] = []
    options = {**material.options(tmp_path / "out"), "models": (str(material.card),)}
    table = sweep(
        RunOptions(
            models=options["models"],
            checkpoint=options["checkpoint"],
            needles=options["needles"],
            haystacks=("zero",),
            lengths_s=(10.0, 12.0, 20.0),
            device="cpu",
            out=options["out"],
        ),
        notes.append,
    )
    status = dict(zip(table["length_s"], table["status"], strict=True))
    assert status == {10.0: "ok", 12.0: "error", 20.0: "ok"}
    (reason,) = table.loc[table["length_s"] == 12, "error"]
    place = "(test_faults.py, line"
    messages = {
        "raises": f"KeyError: 'no such state' {place}",
        "exits": f"SystemExit: no licence {place}",
        "nan": "NaN",
    }
    message = messages[fault]
    assert message in reason
    assert any(reason in note for note in notes)
    assert table.loc[table["length_s"] == 20, "mAP"].notna().all()


def test_a_haystack_that_one_model_cannot_play_stops_neither(
    material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A front end without a mean log-mel has no zeros: error rows that name why, the rest is scored."""
    monkeypatch.setattr(KaldiFrontend, "zero_row", ())
    with pytest.raises(NiahError, match=r"model 'tiny': haystack 'zero' is the data set's mean"):
        material.run(tmp_path / "zero", haystack="zero")
    assert not (tmp_path / "zero").exists()
    table = material.run(tmp_path / "both", lengths=[10, 12])
    by = {(h, s): status for h, s, status in table[["haystack", "length_s", "status"]].values}
    assert by == {("none", 10.0): "ok", ("zero", 12.0): "error", ("gaussian", 12.0): "ok"}
    notes = json.loads((tmp_path / "both" / "run.json").read_text())["notes"]
    assert any(note.startswith("model 'tiny': haystack 'zero'") for note in notes)


def test_an_adapter_that_refuses_a_length_is_a_row_with_the_reason(
    material: Material, tmp_path: Path
) -> None:
    short = tiny.card(tmp_path, "short", longest=1500)
    table = material.run(tmp_path / "out", models=str(short)).set_index(["haystack", "length_s"])
    assert table.loc[("zero", 12.0), "status"] == "ok"
    row = table.loc[("zero", 20.0)]
    assert row["status"] == "error"
    assert row["error"] == "this tagger takes at most 1500 frames"
    assert pd.isna(row["mAP"])
