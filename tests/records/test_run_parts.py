"""A run directory from strangers: its names and links lead nowhere outside it, and a refusal is one line."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from niah.compare.check import check
from niah.compare.paired import compare
from niah.diagnosis.localisation.locate import LocateOptions, locate
from niah.errors import NiahError
from niah.pages import leaderboard
from niah.pages import run_report as report
from niah.records.run_directory import RunDirectory
from niah.records.schema import check_cell
from tests.helpers import examples

CELL = "0123456789abcdef0123"
NO_CELLS = {
    "parent": "../../../outside/victim",
    "parent of 20": "../../outside/victim"[:20],
    "absolute": "/tmp/victim",
    "uppercase": CELL.upper(),
    "short": CELL[:-1],
    "long": CELL + "0",
    "line end": CELL[:-1] + "\n",
    "20 and line end": CELL + "\n",
    "no hex": "g" + CELL[1:],
    "wide digits": "\uff10" * 20,
    "empty": "",
    "mismatch": CELL,
}
READERS: dict[str, Callable[[Path], object]] = {
    "report": report.write,
    "check": check,
    "check against": lambda run: check(run, run),
    "compare": lambda run: compare(run, models=("dass-nano", "ast-sin-nano")),
    "leaderboard": lambda run: leaderboard.write([run], run.parent / "site"),
    "locate": lambda run: locate(LocateOptions(run)),
    "run": lambda run: RunDirectory.create_or_open(run, examples.IDENTITY).close(),
}
FILES = (
    *("run.json", "cells.csv", "tables.md", "tables.csv", "tables.tex", "report.html", ".lock"),
    "localisation.csv",
)
FOLDERS = ("cells", "scores", "figures", "localisation")
PARTS = (*FILES, *FOLDERS, *(f"{folder}/in-it" for folder in FOLDERS), ".cells.csv.7.tmp")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = examples.make(tmp_path_factory.mktemp("made") / "run").path
    report.write(run)
    return run


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "deep" / "er" / "run"))


def told(error: "pytest.ExceptionInfo[NiahError]") -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", NO_CELLS)
def test_a_row_of_another_name_is_refused_and_nothing_is_written(
    run: Path, name: str, reader: str
) -> None:
    file = sorted((run / "cells").glob("*.json"))[0]
    content = json.loads(file.read_text())
    content["row"]["cell"], content["scored_from"] = NO_CELLS[name], None
    file.write_text(json.dumps(content))
    outside = run.parent.parent.parent / "outside"
    outside.mkdir()
    (outside / "victim.json").write_text("precious")
    shutil.copy(next((run / "scores").glob("*.parquet")), outside / "victim.parquet")
    if (name, reader) == ("mismatch", "run"):  # it makes a renamed row again
        READERS[reader](run)
        return
    with pytest.raises(NiahError) as error:
        READERS[reader](run)
    if reader != "locate":  # which reads no row: it has nothing to say without arguments
        assert file.name in told(error)
    assert (outside / "victim.json").read_text() == "precious"
    assert sorted(each.name for each in outside.iterdir()) == ["victim.json", "victim.parquet"]


@pytest.mark.parametrize("name", [name for name in NO_CELLS if name != "mismatch"])
def test_scores_and_tables_of_another_name_are_refused(run: Path, name: str) -> None:
    with pytest.raises(NiahError, match="20 lowercase hex digits"):
        check_cell(NO_CELLS[name])
    opened = RunDirectory(run)
    with pytest.raises(NiahError, match="20 lowercase hex digits"):
        opened.read_scores(NO_CELLS[name])
    shutil.rmtree(run / "cells")  # a published run: the table alone
    table = (run / "cells.csv").read_text()
    cell = str(opened.cells()["cell"][0])
    quoted = NO_CELLS[name]
    (run / "cells.csv").write_text(table.replace(cell, f'"{quoted}"'))
    with pytest.raises(NiahError, match=r"cells\.csv"):
        RunDirectory(run).cells()


@pytest.mark.parametrize("kind", ["link", "dangling link", "fifo"])
@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_is_a_link_is_not_followed(
    run: Path, tmp_path: Path, part: str, kind: str
) -> None:
    outside, place = tmp_path / "outside", run / part
    place.parent.mkdir(exist_ok=True)
    if place.exists():
        shutil.move(place, outside)
    elif part in FOLDERS:
        outside.mkdir()
    else:
        outside.write_text("precious")
    before = sorted((file, file.stat().st_mtime_ns) for file in [outside, *outside.rglob("*")])
    if kind == "fifo":
        os.mkfifo(place)
    else:
        place.symlink_to(outside if kind == "link" else tmp_path / "nowhere")
    for reader in READERS.values():
        with pytest.raises(NiahError) as error:
            reader(run)
        assert place.name in told(error)
    after = sorted((file, file.stat().st_mtime_ns) for file in [outside, *outside.rglob("*")])
    assert after == before
    assert not (tmp_path / "nowhere").exists()


def test_the_run_itself_may_be_a_link(run: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    linked.symlink_to(run)
    assert report.write(linked).is_file()
    RunDirectory.create_or_open(linked, examples.IDENTITY).close()
    assert (run / "report.html").is_file()
    leaderboard.write([linked], tmp_path / "site")
    linked.unlink()
    linked.symlink_to(tmp_path / "unmounted")
    with pytest.raises(NiahError, match=r"linked is a symbolic link to .*unmounted, which is not"):
        RunDirectory.create_or_open(linked, examples.IDENTITY)
