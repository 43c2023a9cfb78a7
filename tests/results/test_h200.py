"""The page of the H200 says what its tables carry."""

import csv
import re
from collections import defaultdict

import pytest

from tests.conftest import REPOSITORY

FOLDER = REPOSITORY / "results" / "h200"
PAGE = (FOLDER / "README.md").read_text(encoding="utf-8")
SECONDS = {"1 h": 3600.0, "2.5 h": 9000.0, "24 h": 86400.0}
UNITS = {"ms": 1.0, "s": 1e3, "GiB": 1.0}


def rows(name: str) -> list[dict[str, str]]:
    with (FOLDER / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def cells(line: str) -> list[float]:
    numbers = [cell.split() for cell in line.split(" | ")]
    return [float(number[0]) * UNITS.get(number[-1], 1.0) for number in numbers]


def seconds(name: str) -> float:
    return SECONDS[name] if name in SECONDS else float(name.split()[0])


def test_times_and_memory_against_length() -> None:
    measured = {
        (row["by"], row["model"], float(row["seconds"])): row for row in rows("forward.csv")
    }
    table = re.findall(r"^\| ([\d.]+ [sh]) \| (.*) \|$", PAGE, re.MULTILINE)
    assert len(table) == 7
    for length, rest in table:
        medium = measured["where.py", "dass-medium", seconds(length)]
        small = measured["niah bench", "dass-small", seconds(length)]
        pairs = [(row["ms"], row["peak_gib"]) for row in (medium, small)]
        assert cells(rest) == pytest.approx([float(x) for pair in pairs for x in pair], rel=0.03)
    assert float(measured["where.py", "dass-medium", 9000.0]["ms"]) <= 300
    assert float(measured["niah bench", "dass-medium", 9000.0]["peak_gib"]) <= 6
    assert float(measured["where.py", "dass-medium", 86400.0]["ms"]) <= 3000


def test_ratios_are_those_of_one_process() -> None:
    table = re.findall(r"^\| (DASS-\w+), (.*?) \| (.*) \|$", PAGE, re.MULTILINE)
    assert len(table) == len(rows("official_dass.csv"))
    for model, what, rest in table:
        kind = "training step" if what.startswith("training") else "forward"
        (row,) = (
            row
            for row in rows("official_dass.csv")
            if (row["what"], row["model"]) == (kind, model.lower())
            and (kind != "forward" or float(row["length_s"]) == seconds(what))
        )
        times = [1e3 * float(row["official_s"]), 1e3 * float(row["ours_s"])]
        peaks = [int(row[f"{who}_peak_bytes"]) / 2**30 for who in ("official", "ours")]
        assert cells(rest) == pytest.approx([*times, times[0] / times[1], *peaks], rel=0.02)
        assert kind != "forward" or float(row["difference"]) < 0.0045


def test_logits_are_near_the_official_ones_in_every_dtype() -> None:
    worst: dict[str, dict[str, float]] = defaultdict(dict)
    for row in rows("goldens.csv"):
        worst[row["dtype"]][row["name"]] = float(row["error"])
    assert [len(names) for names in worst.values()] == [19, 19, 19]
    against = {row["model"]: row["against"] for row in rows("goldens.csv")}
    official = sum(each == "golden" for each in against.values())
    assert (len(against), official, len(against) - official) == (17, 13, 4)
    assert re.search(r"All 17 networks, .*: 13 against the\s+official code", PAGE)
    assert max(worst["float32"].values()) == worst["float32"]["aum-base"] == 1.84e-5
    assert max(worst["float16"].values()) == pytest.approx(0.009, abs=5e-4)
    bfloat16 = worst["bfloat16"]
    assert [bfloat16.pop(f"aum-{size}") for size in ("small", "base")] == [0.0288, 0.0624]
    assert max(bfloat16.values()) == pytest.approx(0.017, abs=5e-4)


def test_sizes_that_were_chosen() -> None:
    sums: dict[tuple[str, str], float] = defaultdict(float)
    for row in rows("choices.csv"):
        sums[row["way"], row["part"]] += float(row["ms"])
    scan = [
        [round(sums[way, part], 1) for part in ("states", "outputs")]
        for way in ("32x32 w4 r168 v8", "32x32 w4 r168 v4", "16x32 w2 r168 v4")
    ]
    mlp = [
        [round(sums[way, f"slabs of 2^{power}"], 1) for power in (25, 26)]
        for way in ("torch", "128x128 w8 s3", "cublas, tanh")
    ]
    tables = re.findall(r"^\| .*[a-z)] \| ([\d.]+) \| ([\d.]+) \|$", PAGE, re.MULTILINE)
    found = [[float(x) for x in pair] for pair in tables]
    assert found == [*scan, *mlp]


def test_loads_come_before_stores() -> None:
    sums: dict[tuple[str, str], float] = defaultdict(float)
    for row in rows("third-phase.csv"):
        tile = [row[key] for key in ("lanes", "width", "warps", "scratch_mb", "line")]
        if tile == ["16", "32", "2", "25", "16"]:
            way = f"{row['registers']}, {row['programs_a_processor']}"
            sums[f"loads {row['loads']}", way] += float(row["outputs_ms"])
            assert float(row["difference"]) == 0
    table = re.findall(
        r"^\| (loads [\w ]+)(?:, as committed)? \| (\d+, \d) \| ([\d.]+) \|$", PAGE, re.MULTILINE
    )
    assert len(table) == 4
    for loads, way, milliseconds in table:
        assert f"{sums[loads, way]:.1f}" == milliseconds
