"""The gate against published numbers: only AudioSet's evaluation list is comparable, and only the right checkpoint."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from niah.cards import model_cards, published_file
from niah.compare.check import check
from niah.errors import NiahError
from niah.records.cell_table import table
from niah.records.schema import Row, Value
from niah.records.scores import ClipScores
from niah.records.scores import write as write_scores
from tests.helpers import examples

CLIPS = 18_000  # of the evaluation list, that are still there


def write(
    path: Path,
    *rows: Row,
    labels: str | None = "audioset-527",
    arguments: Mapping[str, Any] | None = None,
) -> Path:
    """A run of the evaluation list; without `labels`, the table alone."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    table(rows).to_csv(path / "cells.csv", index=False)
    if labels is not None:
        models = {
            str(row["model"]): {"checkpoint_sha256": row["checkpoint_sha256"]} for row in rows
        }
        content = {
            "schema_version": 2,
            "identity": {**examples.IDENTITY, "labels": labels},
            "models": models,
            "arguments": {"checkpoint": None, **(arguments or {})},
        }
        (path / "run.json").write_text(json.dumps(content))
    return path


def small(**given: Value) -> Row:
    """A DASS-small cell as the paper has it: 50 s, middle, zero, mAP 44.1 (+- 0.3, digitised)."""
    known: Row = {
        "model": "dass-small",
        "length_s": 50.0,
        "mAP": 0.441,
        "n_clips": CLIPS,
        "needles": "eval",
        "classes_scored": 527,
    }
    return examples.row(**{**known, **given})


def test_published_counterparts_are_found(tmp_path: Path) -> None:
    rows = (
        small(),
        small(length_s=10.0, haystack="none", position=None, mAP=0.4725),
        small(length_s=9000.0, mAP=0.20),
        small(haystack="gaussian", snr_db=10.0),
        small(position=0.0),
        small(window_s=10.0),
    )
    result = check(write(tmp_path / "run", *rows))
    assert {row.cell: row.ok for row in result.rows} == {
        "dass-small, 10 s": True,
        "dass-small, zero, at 0.5 (effectively 0.63), 50 s": True,
        "dass-small, zero, at 0.5, 2.5 h": False,
    }
    assert not result.ok
    text = result.markdown()
    assert "1 of 3 comparisons is off" in text
    assert text.index("OFF") < text.index("| ok |")


def test_tolerance_is_the_numbers_own_and_the_gates_whatever_the_interval(tmp_path: Path) -> None:
    for mAP, ok in ((0.4485, True), (0.4495, False), (0.4335, True), (0.4325, False)):
        row = small(mAP=mAP, mAP_lo=mAP - 0.1, mAP_hi=mAP + 0.1)
        (compared,) = check(write(tmp_path / "run", row)).rows
        assert (compared.reference, compared.tolerance) == pytest.approx((0.441, 0.003 + 0.005))
        assert compared.ok is ok
    (compared,) = check(write(tmp_path / "run", small(mAP=0.4335)), tolerance=0.001).rows
    assert not compared.ok


def test_relative_and_upper_bounds(tmp_path: Path) -> None:
    def ast(mAP: float, relative: float) -> Path:
        row = small(
            model="ast-sin-small",
            position=0.0,
            mAP=mAP,
            relative=relative,
            drop_lo=0.2,
            drop_hi=0.9,
        )
        return write(tmp_path / "run", row)

    quantities = {row.quantity: row for row in check(ast(0.046, 0.12)).rows}
    assert set(quantities) == {"mAP", "mAP_below", "relative"}
    assert all(row.ok for row in quantities.values())
    assert not any(row.ok for row in check(ast(0.057, 0.2)).rows)


def test_failed_cells_are_off(tmp_path: Path) -> None:
    result = check(write(tmp_path / "run", small(status="oom", mAP=None)))
    assert not result.ok
    assert "| oom |" in result.markdown()


@pytest.mark.parametrize(
    ("change", "labels", "reason"),
    [
        ({"n_clips": 80, "needles": "esc-10"}, "audioset-527", "this run has 80 clips of esc-10"),
        ({"n_clips": 1000}, "audioset-527", "1000 clips of eval"),
        ({"n_clips": 1}, "audioset-527", "1 clip of eval"),
        ({"n_clips": 22_160}, "audioset-527", "22160 clips"),
        ({"needles": "my-own-train-set"}, None, "label set of my-own-train-set is not stated"),
        ({"needles": "mine"}, "esc-50", "the labels of mine are esc-50"),
        ({"classes_scored": 50}, "audioset-527", "clips of 50 classes only"),
        ({"protocol": "niah-v2"}, "audioset-527", "this run is of niah-v2"),
    ],
)
def test_other_lists_and_protocols_are_not_comparable(
    tmp_path: Path, change: dict[str, Value], labels: str | None, reason: str
) -> None:
    path = write(tmp_path / "run", small(**change), labels=labels)
    with pytest.raises(NiahError, match=f"not comparable .*{reason}"):
        check(path)


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("{:011d}", True),
        ("Y{:011d}_30.000", True),
        ("audio/eval/{:011d}_30.000_40.000.flac", True),
        ("1-{:06d}-A-0", False),
        ("my-own-train-set/{:06d}.wav", False),
    ],
)
def test_ids_that_are_stored_must_be_audiosets(tmp_path: Path, name: str, known: bool) -> None:
    path = write(tmp_path / "run", row := small())
    (path / "scores").mkdir()
    ids = tuple(map(name.format, range(100)))
    scores = ClipScores(ids, (("c",),) * 100, ("c",), np.zeros((100, 1), dtype=np.float32))
    write_scores(path / "scores" / f"{row['cell']}.parquet", scores)
    if known:
        assert check(path).notes == ()
    else:
        with pytest.raises(NiahError, match="0 of 100 hold a YouTube id"):
            check(path)


def test_the_published_number_is_of_one_checkpoint(tmp_path: Path) -> None:
    """dass-small with a v3 file is not the model that 47.2 is of."""
    row = small(length_s=10.0, mAP=0.472)
    for file in (None, "folder/DASS_small.pth"):
        assert check(write(tmp_path / "run", row, arguments={"checkpoint": file})).ok
    for file in ("v3.pth", "model.safetensors"):
        path = write(tmp_path / "run", row, arguments={"checkpoint": file})
        with pytest.raises(
            NiahError, match=f"weights are of {file}, the published number is of v1"
        ):
            check(path)
    # an amended run: weights that run.json no longer describes
    two = write(tmp_path / "two", row, small(length_s=10.0, mAP=0.5, checkpoint_sha256="a" * 64))
    content = json.loads((two / "run.json").read_text())
    content["models"]["dass-small"]["checkpoint_sha256"] = "f" * 64
    (two / "run.json").write_text(json.dumps(content))
    result = check(two)
    assert [each.measured for each in result.rows] == [0.472]
    assert any("dass-small@aaaaaaaa is not comparable" in note for note in result.notes)
    # a card without weights of its own: any may be given
    other = small(model="ast-sin-small", position=0.0, mAP=0.046)
    assert check(write(tmp_path / "ast", other, arguments={"checkpoint": "mine.pth"})).ok


def test_a_model_without_published_numbers_is_not_ok(tmp_path: Path) -> None:
    result = check(write(tmp_path / "run", small(model="dass-nano")))
    assert not result.ok
    assert "Nothing was compared" in result.markdown()
    assert "dass-medium" in result.markdown()


def test_ten_second_scores_of_cards_are_found(tmp_path: Path) -> None:
    card = next(
        card
        for card in model_cards()
        if "audioset_mAP" in card.published and len(card.weights) == 1 and "dass" not in card.name
    )
    score = card.published["audioset_mAP"] / 100
    for measured, ok in ((score + 0.0054, True), (score - 0.0056, False)):
        row = small(model=card.name, haystack="none", position=None, length_s=10.0, mAP=measured)
        (compared,) = check(write(tmp_path / "run", row)).rows
        assert (compared.reference, compared.tolerance) == pytest.approx((score, 0.0055))
        assert compared.ok is ok
    # where the paper has a row, or a card several checkpoints, the card is no reference
    again = check(write(tmp_path / "run", small(length_s=10.0, mAP=0.472))).rows
    assert [each.reference for each in again] == [pytest.approx(0.472)]


def test_windows_are_not_what_was_published(tmp_path: Path) -> None:
    row = small(length_s=10.0, window_s=10.0, kernel="sdpa+window-max")
    assert check(write(tmp_path / "run", row)).rows == ()


def test_published_file_is_what_its_readme_says() -> None:
    published = pd.read_csv(published_file())
    assert set(published["metric"]) == {"mAP", "relative", "mAP_below"}
    assert (published["tolerance"] >= 0).all()
    assert published["where"].str.startswith("DASS paper").all()
