"""The schema of a row: what older rows become, and what no row may hold."""

from pathlib import Path
from typing import Any

import pytest

from niah.errors import NiahError
from niah.records.axes import AXES
from niah.records.cell_table import read_csv, table
from niah.records.schema import (
    CELL_COLUMNS,
    COLUMNS,
    SCHEMA,
    is_plain,
    validate_row,
    window_pool_name,
)
from tests.helpers import examples


def test_each_column_has_a_meaning_and_numbers_a_unit_or_are_counts() -> None:
    assert [column.name for column in SCHEMA] == list(COLUMNS)
    assert all(column.meaning for column in SCHEMA)
    assert all(not column.unit for column in SCHEMA if column.type is str)
    for suffix, unit in (("_s", "s"), ("_db", "dB"), ("_bytes", "bytes")):
        found = [c for c in SCHEMA if c.name.endswith(suffix) and c.type is not str]
        assert found
        assert {c.unit for c in found} == {unit}


@pytest.mark.parametrize(
    ("kernel", "window_s", "expected"),
    [
        ("sdpa+window-max-hop5s", 10.0, {"kernel": "sdpa", "window_pool": "max"}),
        ("sdpa+window-max", 10.0, {"kernel": "sdpa", "window_pool": "max"}),
        ("torch+window-noisy-or-hop2.5s", 10.0, {"kernel": "torch", "window_pool": "noisy-or, hop 2.5 s"}),
        ("scan-cpu+pool-top-k", None, {"kernel": "scan-cpu", "pooling": "top-k"}),
        ("scan-cpu+pool-log-sum-exp+blocks", None, {"kernel": "scan-cpu+blocks", "pooling": "log-sum-exp"}),
        ("scan-cpu+blocks", None, {"kernel": "scan-cpu+blocks"}),
        (None, None, {}),
    ],
)  # fmt: skip
def test_the_pooling_in_an_older_kernel_gets_its_column(
    kernel: str | None, window_s: float | None, expected: dict[str, Any]
) -> None:
    row = validate_row(examples.row(kernel=kernel, window_s=window_s))
    assert {name: row.get(name) for name in expected} == expected
    assert set(row) - set(CELL_COLUMNS) == set(expected) - {"kernel"}
    assert validate_row(row) == row


def test_a_hop_of_half_a_window_needs_no_word() -> None:
    assert window_pool_name("max", 10, None) == window_pool_name("max", 10, 5) == "max"
    assert window_pool_name("mean", 10, 2.5) == "mean, hop 2.5 s"


def test_further_columns_make_no_axis() -> None:
    assert is_plain(validate_row({**examples.row(), "adjusted": 0.5, "window_pool": "max"}))
    assert not is_plain(validate_row({**examples.row(), "pooling": "max"}))
    first = ("control", "pooling", "level", "needle_s", "needle_count", "distractors")
    assert tuple(AXES)[: len(first)] == first


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"rtf": float("inf")}, "rtf .* finite"),
        ({"snr_db": float("-inf")}, "snr_db .* finite"),
        ({"n_clips": 10**30}, "n_clips .* large"),
        ({"length_s": 10**400}, "length_s .* large"),
        ({"length_s": 0.0}, "length_s .* at least"),
        ({"mAP": 1e-320}, "mAP must be 0 or at least"),
        ({"window_s": 1e10}, "window_s .* at most"),
        ({"adjusted_hi": -1e300}, "adjusted_hi .* at most"),
        ({"n_clips": -1}, "n_clips .* negative"),
        ({"latency_s": -1.0}, "latency_s .* negative"),
        ({"model": "dass\ud800"}, "model .* Unicode"),
        ({"needle_free_mAP": 1.5}, "needle_free_mAP .* per cent"),
        ({"haystack": ["zero"]}, "haystack .* str"),
    ],
)
def test_what_no_row_may_hold(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(NiahError, match=reason):
        validate_row({**examples.row(), **change})


def test_an_infinite_d_prime_of_an_older_row_is_none() -> None:
    assert validate_row({**examples.row(), "d_prime": float("inf")})["d_prime"] is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("24", "9" * 5000), "n_clips"),
        (("24", "9" * 30), "n_clips"),
        (("cpu,", "cpu,a,b,c,d,e,f,g,"), "line 2: has .* cells"),
        (("0.5,", '"0,5",'), "line 2: .* is no number but '0,5'; write a decimal point"),
    ],
)
def test_a_bad_line_of_a_table_names_the_file(tmp_path: Path, change: Any, reason: str) -> None:
    run = examples.make(tmp_path / "run")
    file = run.path / "cells.csv"
    header, line, *rest = file.read_text().splitlines()
    assert change[0] in line
    file.write_text("\n".join([header, line.replace(change[0], change[1], 1), *rest]))
    with pytest.raises(NiahError, match=rf"cells\.csv .*{reason}"):
        read_csv(file)


def test_large_whole_numbers_beside_gaps_stay_exact() -> None:
    rows = [examples.row(peak_memory_bytes=each, position=0.5) for each in (2**53 + 1, None)]
    column = table(rows)["peak_memory_bytes"]
    assert sorted(column.dropna()) == [2**53 + 1]
    assert len(column) == 2
