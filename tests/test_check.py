"""The regression gate: against the published numbers and against another run."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from niah import check as gate
from niah.cells import Row, Value, table
from niah.check import check
from niah.errors import NiahError
from tests import runs


def write(path: Path, *rows: Row) -> Path:
    path.mkdir(exist_ok=True)
    table(rows).to_csv(path / "cells.csv", index=False)
    return path


def small(**given: Value) -> Row:
    """A DASS-small cell as the paper has it: 50 s, middle, zero, mAP 44.1 (+- 0.3, digitised)."""
    known: Row = {"model": "dass-small", "length_s": 50.0, "mAP": 0.441}
    return runs.row(**{**known, **given})


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
    assert [(row.cell, row.ok) for row in result.rows] == [
        ("dass-small, 10 s", True),
        ("dass-small, zero, at 0.5, 50 s", True),
        ("dass-small, zero, at 0.5, 2.5 h", False),
    ]
    assert not result.ok
    text = result.markdown()
    assert "1 of 3 comparisons are off" in text
    assert text.index("OFF") < text.index("| ok |")


def test_tolerance_is_the_published_one_and_half_the_interval(tmp_path: Path) -> None:
    row = small(mAP=0.460, mAP_lo=0.440, mAP_hi=0.480)
    (compared,) = check(write(tmp_path / "run", row)).rows
    assert compared.reference == pytest.approx(0.441)
    assert compared.tolerance == pytest.approx(0.003 + 0.020)
    assert compared.ok


def test_relative_and_upper_bounds(tmp_path: Path) -> None:
    def ast(mAP: float, relative: float) -> Path:
        row = runs.row(
            model="ast-sin-small", length_s=50.0, position=0.0, mAP=mAP, relative=relative
        )
        return write(tmp_path / "run", row)

    quantities = {row.quantity: row for row in check(ast(0.046, 0.12)).rows}
    assert set(quantities) == {"mAP", "mAP_below", "relative"}
    assert all(row.ok for row in quantities.values())
    assert not any(row.ok for row in check(ast(0.052, 0.2)).rows)


def test_failed_cells_are_off(tmp_path: Path) -> None:
    result = check(write(tmp_path / "run", small(status="oom", mAP=None)))
    assert not result.ok
    assert "| oom |" in result.markdown()


@pytest.mark.parametrize("change", [{"protocol": "niah-v2"}, {"model": "dass-nano"}])
def test_nothing_compared_is_not_ok(tmp_path: Path, change: dict[str, Value]) -> None:
    result = check(write(tmp_path / "run", small(**change)))
    assert not result.ok
    assert "Nothing was compared" in result.markdown()
    assert "dass-medium" in result.markdown()


def test_a_run_agrees_with_itself(tmp_path: Path) -> None:
    run = runs.make(tmp_path / "run")
    for against in (run.path, run.path / "cells.csv"):
        result = check(run.path, against)
        assert result.ok
        assert all(row.measured == row.reference for row in result.rows)
        scored = int((run.cells()["status"] == "ok").sum())
        assert len(result.rows) == 2 * scored


def test_a_change_beyond_the_interval_is_found(tmp_path: Path) -> None:
    run = runs.make(tmp_path / "run")
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(run.path / "cells.csv", other)
    cells = pd.read_csv(other / "cells.csv")
    index = cells.query("model == 'dass-nano' and length_s == 100 and snr_db == 10").index[0]
    half = (cells.loc[index, "mAP_hi"] - cells.loc[index, "mAP_lo"]) / 2
    for factor, ok in ((0.9, True), (1.1, False)):
        changed = cells.copy()
        changed.loc[index, "mAP"] -= factor * half
        changed.to_csv(other / "cells.csv", index=False)
        result = check(run.path, other)
        assert result.ok is ok
        off = [row for row in result.rows if not row.ok]
        assert [(row.cell, row.quantity) for row in off] == (
            [] if ok else [("dass-nano, babble, 10 dB, at 0.5, 100 s", "mAP")]
        )


def test_small_runs_may_differ_by_the_floor(tmp_path: Path) -> None:
    one = write(tmp_path / "one", small(mAP=0.441))
    for value, ok in ((0.4455, True), (0.4465, False)):
        assert check(write(tmp_path / "two", small(mAP=value)), one).ok is ok


def test_cells_not_run_are_noted(tmp_path: Path) -> None:
    one = write(tmp_path / "one", small(), small(length_s=100.0, mAP=0.4))
    result = check(write(tmp_path / "two", small()), one)
    assert result.ok
    assert "1 of the reference's 2 cells are not in the run" in result.markdown()
    other_clips = write(tmp_path / "three", small(n_clips=23))
    assert not check(other_clips, one).ok


def test_what_is_no_reference_is_told(tmp_path: Path) -> None:
    run = write(tmp_path / "run", small())
    with pytest.raises(NiahError, match="publshed"):
        check(run, "publshed")
    with pytest.raises(NiahError, match="not a run"):
        check(tmp_path, run)


def test_published_file_is_what_its_readme_says() -> None:
    published = pd.read_csv(gate.published_file())
    assert set(published["metric"]) == {"mAP", "relative", "mAP_below"}
    assert (published["tolerance"] >= 0).all()
    assert published["where"].str.startswith("DASS paper").all()
