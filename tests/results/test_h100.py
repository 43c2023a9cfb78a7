"""The page of the H100 says what its tables carry."""

import csv
import json
import re
from typing import Any

import pytest

from tests.conftest import REPOSITORY

FOLDER = REPOSITORY / "results" / "h100"
PAGE = (FOLDER / "README.md").read_text(encoding="utf-8")
LENGTHS = {"10 s": 10, "50 s": 50, "300 s": 300, "1000 s": 1000, "1 h": 3600, "2.5 h": 9000}


def forward(name: str) -> dict[float, Any]:
    rows = json.loads((FOLDER / name).read_text(encoding="utf-8"))["rows"]
    return {row["seconds"]: row for row in rows}


def table() -> dict[int, list[float]]:
    rows = re.findall(r"^\| ([\d.]+ [sh]) \| (.*) \|$", PAGE, re.MULTILINE)
    return {
        LENGTHS[length]: [float(x.split()[0]) for x in rest.split(" | ")] for length, rest in rows
    }


def test_the_table_is_that_of_the_measurement() -> None:
    with (FOLDER / "official_dass.csv").open(newline="", encoding="utf-8") as file:
        rows = {float(row["length_s"]): row for row in csv.DictReader(file)}
    assert set(rows) == set(table())
    for length, (official, ours, ratio, official_gib, own_gib) in table().items():
        row = rows[length]
        assert official == pytest.approx(1e3 * float(row["official_s"]), rel=5e-3)
        assert ours == pytest.approx(1e3 * float(row["ours_s"]), rel=5e-3)
        assert ratio == pytest.approx(official / ours, abs=0.06)
        assert official_gib == pytest.approx(int(row["official_peak_bytes"]) / 2**30, rel=0.02)
        assert own_gib == pytest.approx(int(row["ours_peak_bytes"]) / 2**30, rel=0.02)
        assert float(row["difference"]) < 0.0045
    assert all(ratio >= 2 for length, (_, _, ratio, *_) in table().items() if length >= 300)


def test_sentences_have_their_figures() -> None:
    now, before = forward("forward.json"), forward("forward-before.json")
    assert now[9000]["ms"] == pytest.approx(357, abs=0.5)
    assert now[9000]["kernels"][0]["ms"] == pytest.approx(358, abs=0.5)
    assert now[86400]["ms"] == pytest.approx(3720, abs=5)
    assert now[86400]["peak_gib"] == pytest.approx(45.4, abs=0.05)
    assert [round(before[s]["ms"], 1) for s in (10, 300)] == [36.7, 106.9]
    assert round(before[9000]["ms"]) == 622
    assert all(row["equal_bits"] for row in now.values())
    parts = {kernel["name"]: kernel["ms"] for kernel in now[9000]["kernels"]}
    assert round(parts["_outputs"]) == 99
    assert round(parts["_line_pairs"]) == 42
    assert round(parts["_states"] + parts["_block_totals"]) == 13
    assert round(parts["_layer_norm"]) == 32
    assert round(parts["_depthwise_silu"]) == 20
    assert round(next(ms for name, ms in parts.items() if "Gelu" in name)) == 35


def test_the_operations_page_counts_with_it() -> None:
    page = (REPOSITORY / "docs" / "operations.md").read_text(encoding="utf-8")
    _, ours, *_ = table()[9000]
    assert f"{round(9000 / (ours / 1e3), -2):,.0f}\nseconds of audio a second" in page
    assert f"take {20_000 * ours / 1e3 / 3600:.1f} hours" in page
