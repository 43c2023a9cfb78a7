"""results/nano is what its own cells say, and its tables tell it (`scripts/nano`)."""

import csv
from math import sqrt
from pathlib import Path
from statistics import mean, stdev

import pytest

RESULTS = Path(__file__).resolve().parents[2] / "results" / "nano"
SEEDS = 3
T = 4.303  # Student's 97.5 % point, two degrees of freedom


def read(name: str) -> list[dict[str, str]]:
    with (RESULTS / name).open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_each_seed_is_its_cell() -> None:
    cells = {(row["model"], float(row["length_s"])): float(row["mAP"]) for row in read("cells.csv")}
    told = read("scores.csv")
    assert len(told) * SEEDS == len(cells)
    for row in told:
        length = float(row["length_s"])
        names = [f"{row['variant']}-{seed}" for seed in range(SEEDS)]
        seeds = [cells[name, length] for name in names]
        shares = [score / cells[name, 10.0] for name, score in zip(names, seeds, strict=True)]
        for kind, values in (("mAP", seeds), ("share", shares)):
            found = [float(row[f"{kind}_seed{seed}"]) for seed in range(SEEDS)]
            assert found == pytest.approx(values, abs=2e-5)
            assert float(row[kind]) == pytest.approx(mean(values), abs=2e-5)
            of_seeds = T * stdev(values) / sqrt(SEEDS)  # the rest of the interval is of clips
            assert float(row[f"{kind}_half"]) >= of_seeds - 2e-4


def test_the_tables_tell_the_scores() -> None:
    tables = (RESULTS / "tables.md").read_text()
    for row in read("scores.csv"):
        if row["length_s"] == "10.0":
            told = f"{float(row['mAP']):.3f} ± {float(row['mAP_half']):.3f}"
        else:
            told = f"{100 * float(row['share']):.0f} % ± {100 * float(row['share_half']):.0f}"
        assert told in tables, row["variant"]
