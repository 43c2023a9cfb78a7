"""Rows of cells.csv: columns, keys, checks, and the table read back."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from niah.errors import NiahError
from niah.records import cell_table as cells
from niah.records.run_directory import RunDirectory
from niah.records.schema import CELL_COLUMNS, cell_key, validate_row
from niah.records.summarise import summarise
from tests.helpers import examples

COLUMNS = (
    "cell, model, checkpoint_sha256, protocol, needles, n_clips, haystack, snr_db, length_s, "
    "frames, position, window_s, seed, status, mAP, mAP_lo, mAP_hi, auc, d_prime, base_mAP, "
    "chance_mAP, relative, drop, drop_lo, drop_hi, classes_scored, latency_s, rtf, "
    "peak_memory_bytes, batch_size, device, dtype, kernel, niah_version, error"
)


CELL = "0123456789abcdef0123"


def test_columns_are_the_contract() -> None:
    assert ", ".join(CELL_COLUMNS) == COLUMNS


def test_cell_key_is_of_values_not_of_spelling() -> None:
    key = cell_key({"model": "m", "length_s": 10, "snr_db": None})
    assert key == cell_key({"snr_db": None, "length_s": 10.0, "model": "m"})
    assert len(key) == 20
    assert int(key, 16)
    assert key != cell_key({"model": "m", "length_s": 10.5, "snr_db": None})
    assert key != cell_key({"model": "m", "length_s": "10", "snr_db": None})
    assert cell_key({"seed": 2**63}) != cell_key({"seed": 2**63 + 1})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, [1]])
def test_cell_key_refuses_what_has_no_one_spelling(value: Any) -> None:
    with pytest.raises(NiahError, match="x must be"):
        cell_key({"x": value})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"mAp": 0.5}, "Did you mean 'mAP'"),
        ({"status": "fine"}, "ok, oom, error"),
        ({"mAP": 47.6}, "per cent"),
        ({"position": -0.1}, "position"),
        ({"n_clips": 2.5}, "n_clips .* int"),
        ({"model": 3}, "model .* str"),
        ({"model": None}, "model .* given"),
        ({"seed": True}, "seed"),
    ],
)
def test_rows_are_checked(change: dict[str, Any], told: str) -> None:
    with pytest.raises(NiahError, match=told):
        validate_row({**examples.row(), **change})


def test_a_row_without_a_column_is_refused() -> None:
    short = examples.row()
    del short["kernel"]
    with pytest.raises(NiahError, match="lacks kernel"):
        validate_row(short)


def test_rows_take_numpy_numbers_and_nan() -> None:
    made = validate_row({**examples.row(), "mAP": np.float32(0.5), "drop": np.nan, "n_clips": 24})
    assert made["mAP"] == 0.5
    assert made["drop"] is None
    assert list(made) == list(CELL_COLUMNS)


def test_optional_columns_are_there_when_they_are_used(tmp_path: Path) -> None:
    with RunDirectory.create_or_open(tmp_path / "run", examples.IDENTITY) as run:
        examples.add(run, 3.0)
        assert list(run.cells().columns) == [*CELL_COLUMNS, "scores_sha256"]
        examples.add(run, 2.0, length_s=50.0, needle_count=2, pooling="max")
        examples.add(run, 2.0, length_s=50.0, control="sham")
        summarise(run)
        table = run.cells()
    assert list(table.columns) == [
        *CELL_COLUMNS,
        *("control", "pooling", "needle_count", "adjusted", "adjusted_lo", "adjusted_hi"),
        "scores_sha256",
    ]
    assert table["needle_count"].dropna().tolist() == [2]
    assert table.loc[table["control"].notna(), "mAP"].isna().all()
    pd.testing.assert_frame_equal(cells.read_csv(run.path / "cells.csv"), table)
    assert list(validate_row({**examples.row(), "level": None})) == list(CELL_COLUMNS)
    with pytest.raises(NiahError, match="Did you mean 'pooling'"):
        validate_row({**examples.row(), "poling": "max"})
    with pytest.raises(NiahError, match=r"needle_count .* int"):
        validate_row({**examples.row(), "needle_count": 1.5})


def test_csv_gives_back_the_table(tmp_path: Path) -> None:
    run = examples.make(tmp_path / "run")
    pd.testing.assert_frame_equal(cells.read_csv(run.path / "cells.csv"), run.cells())
    assert run.cells()["frames"].dtype == "Int64"
    assert run.cells()["mAP"].dtype == "float64"
    assert (run.path / "cells.csv").read_text().splitlines()[0] == ",".join(
        map(str, run.cells().columns)
    )


def test_a_table_that_was_saved_again_is_the_same(tmp_path: Path) -> None:
    run = examples.make(tmp_path / "run")
    text = (run.path / "cells.csv").read_text()
    lines = text.splitlines()
    file = tmp_path / "cells.csv"
    for how, saved in {
        "semicolons": text.replace(",", ";").encode(),
        "tabs and a mark": ("\ufeff" + text.replace(",", "\t")).encode(),
        "Windows": text.replace("\n", "\r\n").encode(),
        "old Macintosh": text.replace("\n", "\r").encode(),
        "blanks": text.replace(",", " , ").encode(),
        "quotes": "\n".join('"' + line.replace(",", '","') + '"' for line in lines).encode(),
        "an index": "\n".join(f"{k or ''},{line}" for k, line in enumerate(lines)).encode(),
        "a last delimiter": "\n".join(f"{line}," for line in lines).encode(),
        "a line twice": f"{text}{lines[1]}\n".encode(),
        "NA": "\n".join(
            ",".join(cell or "NA" for cell in line.split(",")) for line in lines
        ).encode(),
        "blank lines": f"\n{text}\n  \n{',' * lines[0].count(',')}\n".encode(),
    }.items():
        file.write_bytes(saved)
        pd.testing.assert_frame_equal(cells.read_csv(file), run.cells(), obj=how)
    for damage, reason in (
        (text[:-80].encode(), r"line \d+: has .* cells where the header has"),
        (text.encode("utf-16"), "not UTF-8 text but UTF-16"),
        (text.encode() + b"\0", "NUL"),
        (
            f"{text}{lines[1].replace('cpu', 'gpu')}\n".encode(),
            r"is in line 2 too, with other values",
        ),
    ):
        file.write_bytes(damage)
        with pytest.raises(NiahError, match=rf"cells\.csv cannot be read as .*{reason}"):
            cells.read_csv(file)


def test_what_is_no_cells_csv_is_told(tmp_path: Path) -> None:
    file = tmp_path / "cells.csv"
    for text in ("", "a,b\n1,2\n", ",".join(CELL_COLUMNS) + "\n" + ",".join("x" * 35)):
        file.write_text(text)
        with pytest.raises(NiahError, match=r"cells\.csv"):
            cells.read_csv(file)
