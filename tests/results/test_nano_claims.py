"""The claims of results/nano follow from its committed tables, after correction."""

import csv
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "results" / "nano"


@pytest.fixture
def claims(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(ROOT / "scripts" / "nano")
    yield importlib.import_module("claims")
    for name in ("claims", "variants"):
        sys.modules.pop(name, None)


def adjusted(variant: str, length_s: float) -> list[float]:
    """Compute the adjusted retention of each seed, straight from cells.csv."""
    with (RESULTS / "cells.csv").open(newline="") as stream:
        rows = {(r["model"], float(r["length_s"])): r for r in csv.DictReader(stream)}
    values = []
    for seed in range(3):
        own, base = (rows[f"{variant}-{seed}", at_s] for at_s in (length_s, 10.0))
        chance = float(own["chance_mAP"])
        values.append((float(own["mAP"]) - chance) / (float(base["mAP"]) - chance))
    return values


def test_the_committed_page_is_what_the_tables_give(claims: Any, tmp_path: Path) -> None:
    for name in ("cells.csv", "scores.csv"):
        (tmp_path / name).write_bytes((RESULTS / name).read_bytes())
    claims.write(tmp_path)
    assert (tmp_path / "claims.md").read_text() == (RESULTS / "claims.md").read_text()


def test_shares_that_looked_alike_differ_once_chance_is_taken_off() -> None:
    """AuM .31, AST .34, DASS with the usual memory .52 at 300 s, where raw shares read 59, 57 and 63 %."""
    means = {name: np.mean(adjusted(name, 300.0)) for name in ("aum", "ast-1d", "dass-A1")}
    assert means["aum"] == pytest.approx(0.31, abs=0.005)
    assert means["ast-1d"] == pytest.approx(0.34, abs=0.005)
    assert means["dass-A1"] == pytest.approx(0.52, abs=0.005)


def test_without_uncertainty_of_clips_the_test_is_welch(claims: Any) -> None:
    one, other = (0.3, 0.4, 0.35), (0.5, 0.7, 0.52)
    difference, _, p = claims._welch(claims.Quantity(one, 0.0), claims.Quantity(other, 0.0))
    expected = stats.ttest_ind(other, one, equal_var=False)
    assert difference == pytest.approx(np.mean(other) - np.mean(one))
    assert p == pytest.approx(expected.pvalue, rel=1e-9)


def test_only_what_survives_holm_is_said_to_hold(claims: Any) -> None:
    tested = claims.claims(RESULTS)
    assert len(tested) == 27
    holding = {(c.changed, c.reference, c.quantity) for c in tested if c.holds}
    assert holding == {
        ("dass-A10", "ast-1d", "mAP at 10 s"),
        ("dass-A10", "ast-1d", "adjusted at 50 s"),
        ("dass-A10", "ast-1d", "adjusted at 300 s"),
        ("dass-A10", "aum", "mAP at 10 s"),
        ("dass-kd-A1", "dass-A1", "mAP at 10 s"),
        ("dass-kd-A10", "dass-A10", "mAP at 10 s"),
    }


def test_the_page_says_the_numbers_of_the_table(claims: Any) -> None:
    page = (RESULTS / "README.md").read_text()
    rows = claims.retention_table(RESULTS).rows
    assert len(rows) == 8  # variants
    for row in rows:
        for text in row[1:]:
            assert text.partition(" (")[0] in page, row[0]


def test_what_holds_is_said_with_its_p_after_correction_and_nothing_else_is(claims: Any) -> None:
    page = (RESULTS / "README.md").read_text()
    held, _, _ = page.partition("## What these runs do not show")
    held = " ".join(held.partition("## What holds after correction")[2].split())
    holding = [each for each in claims.claims(RESULTS) if each.holds]
    for each in holding:
        digits = 3 if each.quantity.startswith("mAP") else 2
        half = f"± {each.half:.{digits}f}"
        assert any(f"{abs(each.difference) + off:.{digits}f} {half}" in held for off in (0, -1e-3))
        p = "p < 0.001" if each.p_holm < 0.001 else f"p = {each.p_holm:.3f}"
        assert p in held, each
    assert held.count("±") == len(holding)


def test_a_training_at_chance_keeps_nothing_that_could_be_compared(
    claims: Any, tmp_path: Path
) -> None:
    (tmp_path / "scores.csv").write_bytes((RESULTS / "scores.csv").read_bytes())
    cells = pd.read_csv(RESULTS / "cells.csv")
    cells.loc[(cells["model"] == "aum-1") & (cells["length_s"] == 10), "mAP"] = cells["chance_mAP"]
    cells.to_csv(tmp_path / "cells.csv", index=False)
    tested = claims.claims(tmp_path)
    undefined = [each for each in tested if np.isnan(each.p)]
    assert {each.quantity for each in undefined} == {"adjusted at 50 s", "adjusted at 300 s"}
    assert all(each.reference == "aum" for each in undefined)
    table = claims.claim_table(tested)
    assert "over all 25" in table.caption
    assert [row[2:5] for row in table.rows[-2:]] == [("at chance", "", "")] * 2
    assert claims.retention_table(tmp_path).markdown().count("at chance") == 2
