"""The regression gate: against the published numbers and against another run."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest

from niah.cards import model_cards, published_file
from niah.compare.check import CheckResult, check
from niah.compare.check_formats import written
from niah.errors import NiahError
from niah.records.run_directory import RunDirectory
from niah.records.schema import Row, Value, table
from niah.tables.effective_lengths import lengths_table
from tests.conftest import REPOSITORY
from tests.helpers import examples


def write(path: Path, *rows: Row) -> Path:
    path.mkdir(exist_ok=True)
    table(rows).to_csv(path / "cells.csv", index=False)
    return path


def small(**given: Value) -> Row:
    """A DASS-small cell as the paper has it: 50 s, middle, zero, mAP 44.1 (+- 0.3, digitised)."""
    known: Row = {"model": "dass-small", "length_s": 50.0, "mAP": 0.441}
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
        row = examples.row(
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
    run = examples.make(tmp_path / "run")
    for against in (run.path, run.path / "cells.csv"):
        result = check(run.path, against)
        assert result.ok
        assert all(row.measured == row.reference for row in result.rows)
        scored = int((run.cells()["status"] == "ok").sum())
        assert len(result.rows) == 2 * scored


def test_a_change_beyond_the_interval_is_found(tmp_path: Path) -> None:
    run = examples.make(tmp_path / "run")
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
    published = pd.read_csv(published_file())
    assert set(published["metric"]) == {"mAP", "relative", "mAP_below"}
    assert (published["tolerance"] >= 0).all()
    assert published["where"].str.startswith("DASS paper").all()


# --- clips


def test_runs_of_other_clips_are_refused(tmp_path: Path) -> None:
    one, other = (write(tmp_path / name, small(chance_mAP=0.1)) for name in ("one", "other"))
    assert check(one, other).ok
    write(other, small(chance_mAP=0.11))
    with pytest.raises(NiahError, match="different clips"):
        check(one, other / "cells.csv")
    for folder, ids in ((one, "1"), (other, "2")):
        identity = {**examples.IDENTITY, "ids_sha256": ids * 64}
        content = {"schema_version": 1, "identity": identity}
        (folder / "run.json").write_text(json.dumps(content))
    write(other, small(chance_mAP=0.1))
    with pytest.raises(NiahError, match="different clips"):
        check(one, other)


def test_published_scores_of_other_clips_are_noted(tmp_path: Path) -> None:
    assert "24 clips of made are others" in check(write(tmp_path / "run", small())).markdown()
    assert check(write(tmp_path / "run", small(n_clips=18_000))).notes == ()


def test_ten_second_scores_of_cards_are_found(tmp_path: Path) -> None:
    card = next(
        card
        for card in model_cards()
        if "audioset_mAP" in card.published and len(card.weights) == 1 and "dass" not in card.name
    )
    score = card.published["audioset_mAP"] / 100
    for measured, ok in ((score + 0.0004, True), (score - 0.0006, False)):
        row = examples.row(model=card.name, haystack="none", position=None, mAP=measured)
        (compared,) = check(write(tmp_path / "run", row)).rows
        assert (compared.reference, compared.tolerance) == pytest.approx((score, 0.0005))
        assert compared.ok is ok
    # where the paper has a row, or a card several checkpoints, the card is no reference
    again = check(write(tmp_path / "run", small(length_s=10.0, mAP=0.472))).rows
    assert [each.reference for each in again] == [pytest.approx(0.472)]


def test_windowed_cells_are_told_apart(tmp_path: Path) -> None:
    both = [
        small(mAP=value, window_s=10.0, kernel=f"sdpa+window-{pool}")
        for pool, value in (("max", 0.4), ("mean", 0.3))
    ]
    one, other = write(tmp_path / "one", *both), write(tmp_path / "other", both[1])
    result = check(one, other)
    assert result.ok
    assert [row.cell for row in result.rows] == [
        "dass-small (10 s, mean windows), zero, at 0.5, 50 s"
    ]


# --- formats


@pytest.fixture
def hostile(tmp_path: Path) -> CheckResult:
    name = 'a<b>&"\x00:, 50 %\n::error'
    one = write(tmp_path / "one", small(model=name), small(model=name, length_s=100.0, mAP=0.4))
    other = write(
        tmp_path / "two", small(model=name, mAP=0.3), small(model=name, length_s=100.0, mAP=0.4)
    )
    return check(one, other)


def test_junit_is_valid_and_counts(hostile: CheckResult) -> None:
    text = written(hostile, "junit")
    suites = ElementTree.fromstring(text)
    (suite,) = suites
    assert (suites.tag, suite.tag) == ("testsuites", "testsuite")
    cases = suite.findall("testcase")
    assert int(suite.get("tests", "")) == len(cases) == 2
    failed = [case for case in cases if case.find("failure") is not None]
    assert int(suite.get("failures", "")) == len(failed) == 1
    assert "zero, at 0.5, 50 s: mAP" in str(failed[0].get("name"))
    told = failed[0].find("failure")
    assert told is not None
    assert "0.4410, not 0.3000 (tolerance 0.0050)" in str(told.get("message"))


def test_github_annotations_are_one_line_each(hostile: CheckResult) -> None:
    lines = written(hostile, "github").splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("::error title=a<b>")
    assert "50 %25%0A%3A%3Aerror" in lines[0]
    assert lines[0].count("::") == 3  # the two of the command, and one inside the message
    assert lines[1].endswith("1 of 2 comparisons are off.")


@pytest.mark.parametrize("form", ["markdown", "junit", "github"])
def test_nothing_compared_fails_in_every_format(tmp_path: Path, form: str) -> None:
    text = written(check(write(tmp_path / "run", small(model="unheard"))), form)
    assert "Nothing was compared" in text
    assert {"junit": 'failures="1"', "github": "::error", "markdown": "- "}[form] in text


def test_unknown_format_is_told(hostile: CheckResult) -> None:
    with pytest.raises(NiahError, match="Did you mean 'junit'"):
        written(hostile, "junitt")


def test_command_writes_a_file_and_exits_with_1(tmp_path: Path) -> None:
    run, out = write(tmp_path / "run", small(mAP=0.1)), tmp_path / "check.xml"
    command = [sys.executable, "-m", "niah", "check", run, "--format", "junit", "--out", out]
    ran = subprocess.run(
        [str(part) for part in command], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (1, "")
    assert "1 of 1 comparisons are off." in ran.stdout
    assert ElementTree.parse(out).getroot().get("failures") == "1"


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    run = examples.make(tmp_path / "run")
    content = json.loads((run.path / "run.json").read_text())
    (run.path / "run.json").write_text(json.dumps({**content, "schema_version": 99}))
    with pytest.raises(NiahError, match="schema 99, newer"):
        check(run.path, run.path)


def test_runs_of_the_first_release_are_read() -> None:
    """results/ holds runs that earlier versions wrote: tables, lengths and the gate still read them."""
    for folder in ("embedded", "esc10-nano/run"):
        path = REPOSITORY / "results" / folder
        assert check(path, path / "cells.csv").ok
        assert lengths_table(RunDirectory(path).cells()) is not None
