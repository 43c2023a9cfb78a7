"""CSV for people: no text is a formula to a spreadsheet, every text reads back as it was, numbers are numbers."""

import csv
import io
import math
from pathlib import Path

import pandas as pd
import pytest

from niah.bench import bench
from niah.diagnosis.localisation.rows import Located, csv_text
from niah.diagnosis.localisation.rows import read as located
from niah.pages.leaderboard import boards, cells_csv, read
from niah.records.cell_table import read_csv, table
from niah.records.run_directory import RunDirectory
from niah.records.schema import CELL_COLUMNS
from niah.system import spreadsheet
from tests.helpers import examples

SIGNS = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")
SPACES = (
    "",
    " ",
    "\n",
    "\t",
    "\r\n",
    "\u00a0",
    "\u3000",
    "\ufeff",
    "\u200b",
    "\x00",
    "\x0b",
    " \n\u00a0",
)
DANGEROUS = [space + sign + "cmd|calc" for sign in SIGNS for space in SPACES]
APOSTROPHES = ["'=1", "''=1", "' =1", "'", "''", "'x", "x'=1"]
HARMLESS = ["a=b", "dass-nano", "", " x", "/m/09x0r", "1+1", 'a "quoted", name', "line\nend"]


def fields(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


@pytest.mark.parametrize("name", DANGEROUS)
def test_a_formula_is_guarded_and_reads_back(name: str) -> None:
    assert spreadsheet.guarded(name) == f"'{name}"
    assert spreadsheet.unguarded(f"'{name}") == name
    assert fields(spreadsheet.text(("a", "b"), [(name, 1)])) == [["a", "b"], [f"'{name}", "1"]]


@pytest.mark.parametrize("name", [*HARMLESS, *APOSTROPHES])
def test_every_text_reads_back(name: str) -> None:
    assert spreadsheet.unguarded(spreadsheet.guarded(name)) == name
    if name in HARMLESS:
        assert spreadsheet.guarded(name) == name


def test_numbers_are_in_full_and_not_guarded() -> None:
    row = (-1, -0.1, 1 / 3, 1e-300, None, math.nan, -math.inf, 2**70)
    told = fields(spreadsheet.text("abcdefgh", [row]))[1]
    assert told == ["-1", "-0.1", repr(1 / 3), "1e-300", "", "", "-inf", str(2**70)]


def test_a_frame_is_written_as_pandas_writes_it(tmp_path: Path) -> None:
    cells = examples.make(tmp_path / "run").cells()
    assert spreadsheet.frame_text(cells) == cells.to_csv(index=False, lineterminator="\n")


@pytest.mark.parametrize("name", [*DANGEROUS[::3], *APOSTROPHES[:3], *HARMLESS[-2:]])
def test_cells_csv_reads_back_exactly(tmp_path: Path, name: str) -> None:
    path = tmp_path / "run"
    with RunDirectory.create_or_open(path, examples.IDENTITY) as run:
        run.write_rows(
            [(examples.row(model=name, needles=name, haystack=name, snr_db=-5.0, error=name), None)]
        )
    pd.testing.assert_frame_equal(read_csv(path / "cells.csv"), RunDirectory(path).cells())
    header, row = fields((path / "cells.csv").read_bytes().decode())
    shown = dict(zip(header, row, strict=True))
    assert shown["model"] == shown["error"] == spreadsheet.guarded(name)
    assert shown["snr_db"] == "-5.0"
    found = fields(cells_csv.text(boards(read([path]))))
    assert dict(zip(*found, strict=True))["model"] == spreadsheet.guarded(name)


NAMES = [name for name in DANGEROUS[::7] if "\0" not in name]  # which no argument can have


@pytest.mark.parametrize("name", [*NAMES, "'=1", "line\nend"])
def test_other_tables_read_back(tmp_path: Path, name: str) -> None:
    row = Located(
        *(name, "f" * 64, "positions", name, -5.0, 20.0, 0.5, None, None, 0.1, 5.0, 3, 4),
        *(0.5, 0.4, 0.6, 0.2, 1.0, 2.0),
    )
    (tmp_path / "localisation.csv").write_bytes(csv_text([row]).encode())
    assert located(tmp_path) == [row]
    measured = {**dict.fromkeys(bench.COLUMNS), "point": "p", "model": name, "latency_s": 0.5}
    bench.write(tmp_path / "bench.csv", [measured])
    (again,) = bench.read(tmp_path / "bench.csv")
    assert (again["point"], again["model"], again["latency_s"]) == ("p", name, 0.5)


def test_a_table_of_before_reads_as_it_did(tmp_path: Path) -> None:
    rows = [examples.row(model="-plain"), examples.row(model="'quoted'", length_s=20.0)]
    table(rows).to_csv(tmp_path / "cells.csv", index=False)
    assert set(read_csv(tmp_path / "cells.csv")["model"]) == {"-plain", "'quoted'"}
    assert list(read_csv(tmp_path / "cells.csv")) == list(CELL_COLUMNS)
