"""Every committed run, of whatever version wrote it, is read by report, check, compare and leaderboard."""

import shutil
from pathlib import Path

import pytest

from niah.compare.check import check
from niah.compare.paired import compare
from niah.compare.stored_run import StoredRun
from niah.errors import NiahError
from niah.pages import leaderboard, run_report
from niah.pages.leaderboard import markdown
from niah.records.run_directory import RunDirectory
from niah.records.verify import verify

RESULTS = Path(__file__).resolve().parents[2] / "results"
RUNS = sorted(
    file.parent for file in RESULTS.rglob("cells.csv") if file.parent.name != "benchmarks"
)
names = [str(run.relative_to(RESULTS)) for run in RUNS]


def test_there_are_runs() -> None:
    assert {"embedded", "gate", "nano", "esc10-nano/run", "esc10-nano/pooling"} <= set(names)
    assert {run for run in RUNS if (run / "run.json").is_file()} == set(RUNS)


@pytest.fixture(params=RUNS, ids=names)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of a committed run, without its figures."""
    source: Path = request.param
    shutil.copytree(source, tmp_path / "run", ignore=shutil.ignore_patterns("figures", "*.png"))
    return tmp_path / "run"


def test_a_committed_run_is_read(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = RunDirectory(run).cells()
    assert not before.empty
    assert before["protocol"].isin(["dass-v1", "niah-v2.1"]).all()
    monkeypatch.setattr("niah.plots.draw", lambda *_: [])  # figures: tests/plots
    page = run_report.write(run).read_text()
    assert all(model in page for model in before["model"])

    assert check(run, run / "cells.csv", unpaired=True).ok
    with pytest.raises(NiahError, match="not comparable with the published"):
        check(run)
    first, *others = StoredRun(run).systems()
    scored = (run / "scores").is_dir()
    if scored:
        assert check(run, run).ok
        pair = compare(run, models=(first.short_name, others[0].short_name))
        assert pair.differences
    else:
        with pytest.raises(NiahError, match="no stored scores"):
            check(run, run)
        with pytest.raises(NiahError, match="are not stored"):
            compare(run, run, models=(first.short_name,))

    boards = leaderboard.boards(leaderboard.read([run]))
    text = markdown.text(boards)
    assert all(model in text for model in before["model"])


@pytest.mark.parametrize("name", ["embedded", "gate"])
def test_runs_with_scores_can_be_verified(name: str) -> None:
    """Every row is there and whole, and its metrics follow from its scores, as `niah leaderboard --verify` wants."""
    verdict = verify(RESULTS / name)
    assert verdict.is_good
    assert verdict.whole == verdict.recomputed == len(RunDirectory(RESULTS / name).cells()) > 0
    assert not [*verdict.foreign, *verdict.unfinished, *verdict.versions]


def test_all_of_them_make_one_page(tmp_path: Path) -> None:
    index, _ = leaderboard.write([RESULTS], tmp_path / "site")
    read = leaderboard.read([RESULTS])
    assert (
        len(leaderboard.boards(read)) >= 3
    )  # two lists of synthetic clips and ESC-10's are never ranked together
    assert index.is_file()
