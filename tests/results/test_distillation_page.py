"""The page of results/distillation says what its tables say, and these follow from the scores."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import REPOSITORY
from tests.helpers.scripts import imported

FOLDER = REPOSITORY / "results" / "distillation"
PAGE = (FOLDER / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def contrasts() -> Iterator[Any]:
    with imported("distillation", "contrasts", "students", "trainings") as modules:
        yield modules["contrasts"]


def rows(contrasts: Any) -> dict[tuple[str, str], dict[str, str]]:
    return {(r["contrast"], r["quantity"]): r for r in contrasts.read_csv(FOLDER / "contrasts.csv")}


def test_tables_are_those_of_the_csv_files(contrasts: Any) -> None:
    for table in (contrasts.student_table(FOLDER), contrasts.contrast_table(FOLDER)):
        assert table.markdown() in (FOLDER / "tables.md").read_text(encoding="utf-8")
        lines = [line for line in table.markdown().splitlines() if line.startswith("|")]
        assert "\n".join(lines) in PAGE


def test_means_are_those_of_the_seeds_in_the_cells(contrasts: Any) -> None:
    cells = contrasts.read_csv(FOLDER / "cells.csv")
    scores = {
        r["model"]: float(r["mAP"])
        for r in cells
        if r["haystack"] == "none" and r["status"] == "ok"
    }
    students = [
        r for r in contrasts.read_csv(FOLDER / "students.csv") if r["quantity"] == "mAP at 10 s"
    ]
    assert len(students) == 6
    for row in students:
        own = [scores[f"{row['student']}-{seed}"] for seed in range(6)]
        assert float(row["mean"]) == pytest.approx(sum(own) / 6, abs=1e-5)
    assert f"scores {scores['teacher']:.3f} mAP" in PAGE
    (chance,) = {float(r["chance_mAP"]) for r in cells}
    assert f"guessing gives {chance:.3f}" in PAGE


def test_other_figures_are_those_of_the_tables(contrasts: Any) -> None:
    by = rows(contrasts)
    for contrast in (
        "KL from scratch less KL from the start",
        "BCE from scratch",
        "BCE from the start",
        "the start, labels only",
    ):
        row = by[contrast, "mAP at 10 s"]
        assert float(row["p_holm"]) > 0.2
        assert (
            f"{float(row['difference']):+.3f} ± {float(row['half']):.3f}"
            in PAGE.split("## What was not seen")[1]
        )
    interaction = by["KL from scratch less KL from the start", "mAP at 10 s"]
    gap = (20.2 - 12.0 - (38.4 - 34.6)) / 100
    assert gap == pytest.approx(0.044)
    assert abs(gap - float(interaction["difference"])) > float(interaction["half"])
    (kept,) = (
        r
        for r in contrasts.read_csv(FOLDER / "students.csv")
        if (r["student"], r["quantity"]) == ("start-kl", "adjusted at 50 s")
    )
    seeds = sorted(float(kept[f"seed{n}"]) for n in range(6))
    assert f"keep {seeds[0]:.2f} to {seeds[-1]:.2f}" in PAGE


def test_what_the_page_says_holds_does_and_nothing_else(contrasts: Any) -> None:
    holds = {key for key, row in rows(contrasts).items() if float(row["p_holm"]) < 0.05}
    section = re.search(r"^## What holds.*?(?=^## )", PAGE, re.MULTILINE | re.DOTALL)
    assert section
    assert len(re.findall(r"^- \*\*", section[0], re.MULTILINE)) == len(holds)
    for key in holds:
        row = rows(contrasts)[key]
        value = f"{float(row['difference']):+.3f} ± {float(row['half']):.3f}"
        assert value in section[0], key
