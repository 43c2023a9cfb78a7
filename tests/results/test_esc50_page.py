"""The page of results/esc50-folds says what its tables say, and these follow from the cells of the folds."""

import re
import shutil
import tomllib
from collections.abc import Iterator
from math import isnan
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.conftest import REPOSITORY
from tests.helpers.scripts import imported

FOLDER = REPOSITORY / "results" / "esc50-folds"
PAGE = (FOLDER / "README.md").read_text(encoding="utf-8")
TEXT = " ".join(PAGE.split())


@pytest.fixture(scope="module")
def scores() -> Iterator[Any]:
    with imported("esc50", "folds", "fold_trainings", "fold_scores") as modules:
        yield modules["fold_scores"]


def contrasts(scores: Any) -> dict[tuple[str, str, str], dict[str, str]]:
    table = scores.read_csv(FOLDER / "contrasts.csv")
    return {(row["network"], row["less"], row["quantity"]): row for row in table}


def value(row: dict[str, str], sign: int = 1) -> str:
    return f"{sign * float(row['difference']):+.3f} ± {float(row['half']):.3f}"


def test_tables_are_those_of_the_cells(scores: Any) -> None:
    by_network = scores.read_scores(FOLDER, scores.FAMILIES)
    for row in scores.read_csv(FOLDER / "scores.csv"):
        own = by_network[row["network"]][row["quantity"]]
        assert float(row["mean"]) == pytest.approx(own.mean, abs=1e-5)
        assert float(row["half"]) == pytest.approx(own.half, abs=1e-5)
        assert [float(row[f"fold{n}"]) for n in range(1, 6)] == pytest.approx(own.values, abs=1e-5)
    committed = list(contrasts(scores).values())
    for made, row in zip(scores.contrast_rows(by_network, scores.FAMILIES), committed, strict=True):
        assert {name: str(each) for name, each in made.items()} == row
    for table in (
        scores.score_table(FOLDER, scores.FAMILIES),
        scores.contrast_table(FOLDER, scores.FAMILIES),
    ):
        markdown = table.markdown()
        assert markdown in (FOLDER / "tables.md").read_text(encoding="utf-8")
        assert "\n".join(x for x in markdown.splitlines() if x.startswith("|")) in PAGE


def test_what_the_page_says_holds_does_and_nothing_else(scores: Any) -> None:
    holds = {k: row for k, row in contrasts(scores).items() if float(row["p_holm"]) < 0.05}
    section = re.search(r"^## What holds.*?(?=^## )", PAGE, re.MULTILINE | re.DOTALL)
    assert section
    found = re.findall(r"^- \*\*.*: (\S+ ± \d\.\d+)", section[0], re.MULTILINE)
    assert sorted(found) == sorted(value(row) for row in holds.values())


def test_other_figures_are_those_of_the_tables(scores: Any) -> None:
    by = contrasts(scores)
    not_shown = TEXT.split("## What was not shown")[1]
    zeros = [f"kept at {s} s of zeros" for s in (50, 100)]
    noise = "kept at 50 s of Gaussian noise, 10 dB"
    two, one, dass, aum = "ast-sin2d-nano", "ast-sin-nano", "dass-nano", "aum-nano"
    for network, less, quantity in (
        (two, one, zeros[0]), (aum, one, zeros[0]), (aum, one, zeros[1]), (dass, one, noise), (dass, two, noise),
    ):  # fmt: skip
        row = by[network, less, quantity]
        assert float(row["p_holm"]) > 0.05
        assert value(row) in not_shown
    assert value(by[dass, two, zeros[0]], -1) in not_shown
    kept = {
        name: of_network[zeros[0]].values
        for name, of_network in scores.read_scores(FOLDER, scores.FAMILIES).items()
    }
    assert all(a > b for a, b in zip(kept[two], kept[one], strict=True))
    assert f"range from {min(kept[two]):.2f} to {max(kept[two]):.2f}" in not_shown
    cells = scores.read_csv(FOLDER / "fold-1" / "cells.csv")
    assert {(row["n_clips"], f"{float(row['chance_mAP']):.3f}") for row in cells} == {
        ("175", "0.046")
    }
    assert {row["status"] for row in cells} == {"ok"}


def test_what_was_seen_before_is_in_its_table(scores: Any) -> None:
    table = scores.read_csv(FOLDER / "zero-bias.csv")
    ended = [row for row in table if row["epochs"] == "15"]
    ast, ast_2, aum, aum_2 = (f"{float(row['heldout_mAP']):.2f}" for row in ended)
    assert f"the 1-D AST {ast} and {ast_2}, AuM {aum} and {aum_2} after fifteen epochs" in TEXT
    assert len(table) == 5


def test_students_of_yamnet_are_as_the_page_says(scores: Any) -> None:
    folder = FOLDER / "taught"
    by_way = scores.read_scores(folder, scores.TAUGHT)
    committed = scores.read_csv(folder / "contrasts.csv")
    for made, row in zip(scores.contrast_rows(by_way, scores.TAUGHT), committed, strict=True):
        assert {name: str(each) for name, each in made.items()} == row
    for table in (
        scores.score_table(folder, scores.TAUGHT),
        scores.contrast_table(folder, scores.TAUGHT),
    ):
        assert "\n".join(x for x in table.markdown().splitlines() if x.startswith("|")) in PAGE
    (holds,) = (row for row in committed if float(row["p_holm"]) < 0.05)
    assert (holds["network"], holds["quantity"]) == ("kl", scores.BASE)
    assert f"costs mAP at 10 s**, {value(holds)}" in TEXT
    (bce,) = (r for r in committed if (r["network"], r["quantity"]) == ("bce", scores.BASE))
    assert f"({value(bce)})" in TEXT
    teacher = [
        row
        for fold in range(1, 6)
        for row in scores.read_csv(folder / f"fold-{fold}" / "cells.csv")
        if row["model"] == "yamnet-classes" and row["haystack"] == "none"
    ]
    own = sorted(float(row["mAP"]) for row in teacher)
    assert f"{own[0]:.2f} to {own[-1]:.2f} mAP" in TEXT
    assert own[0] > max(by_way["bce"][scores.BASE].values)
    clips = sorted(int(row["n_clips"]) for row in teacher)
    assert f"({clips[0]} to {clips[-1]} held out a fold)" in TEXT


def test_the_starts_are_as_good_as_it_says() -> None:
    said = re.search(r"DASS (0\.\d+), AuM (0\.\d+), the ASTs (0\.\d+) and (0\.\d+)", TEXT)
    assert said
    for name, score in zip(("dass", "aum", "ast-sin", "ast-sin2d"), said.groups(), strict=True):
        card = tomllib.loads((REPOSITORY / "models" / f"{name}-nano.toml").read_text("utf-8"))
        assert card["training"]["last_log_line"].endswith(score)


def test_a_network_at_chance_in_one_fold_keeps_nothing_that_could_be_compared(
    scores: Any, tmp_path: Path
) -> None:
    """It was a division by zero, after hours of training: the other networks' tables are made all the same."""
    for fold in range(1, 6):
        shutil.copytree(FOLDER / f"fold-{fold}", tmp_path / f"fold-{fold}")
    file = tmp_path / "fold-3" / "cells.csv"
    cells = pd.read_csv(file)
    own = cells["model"].str.startswith("aum-nano")
    cells.loc[own, "base_mAP"] = cells["chance_mAP"]
    cells.loc[own, ["adjusted", "adjusted_lo", "adjusted_hi"]] = None
    cells.to_csv(file, index=False)
    by_network = scores.read_scores(tmp_path, scores.FAMILIES)
    rows = scores.contrast_rows(by_network, scores.FAMILIES)
    undefined = [row for row in rows if isnan(row["p"])]
    assert len(undefined) == 6  # AuM less the AST and DASS less AuM, at three lengths
    assert {"aum-nano"} == {n for row in undefined for n in (row["network"], row["less"])} - {
        "dass-nano",
        "ast-sin-nano",
    }
    known = {(row["network"], row["less"], row["quantity"]): row for row in rows}
    kept = ("dass-nano", "ast-sin-nano", "kept at 50 s of zeros")
    assert known[kept]["difference"] == float(contrasts(scores)[kept]["difference"])
    assert known[kept]["p_holm"] == pytest.approx(14 * known[kept]["p"], rel=1e-3)
    scores.write_csv(tmp_path / "scores.csv", list(scores._score_rows(by_network)))
    scores.write_csv(tmp_path / "contrasts.csv", rows)
    assert scores.score_table(tmp_path, scores.FAMILIES).markdown().count("| at chance ") == 3
    table = scores.contrast_table(tmp_path, scores.FAMILIES)
    assert "Holm's over all 14" in table.caption
    assert table.markdown().count("| at chance |  |  |  |") == 6
    scores._draw(tmp_path, by_network, scores.FAMILIES)


def test_two_trainings_that_are_one_do_not_differ(scores: Any) -> None:
    one = scores.OverFolds((0.5, 0.6, 0.55, 0.7, 0.6))
    assert (one.less(one).p, one.less(one).half) == (1.0, 0.0)
