"""This repository guards its own models by `niah check`, as `make gate` does and a model repository would in its CI."""

from pathlib import Path

import numpy as np
import pytest

import niah
from niah.compare.check import check
from niah.records.run_directory import RunDirectory
from tests.helpers import examples, tiny

COMMITTED = tiny.REPOSITORY / "results" / "gate"


MODELS = ["dass-nano", "ast-sin-nano", "aum-nano"]  # those of `niah run` without --model


@pytest.mark.parametrize(
    ("models", "rows"),
    [pytest.param(MODELS, 6, marks=pytest.mark.slow), (MODELS[:1], 2)],
    ids=["all", "dass-nano"],
)
def test_the_embedded_models_score_as_committed(
    models: list[str], rows: int, tmp_path: Path
) -> None:
    if not COMMITTED.is_dir():
        pytest.skip("not a checkout: an sdist has no results/gate")
    niah.run(
        models=models,
        protocol="dass-v1",
        haystack="zero",
        lengths=[10, 20],
        device="cpu",
        out=tmp_path / "run",
    )
    result = check(tmp_path / "run", COMMITTED, allow_missing=models != MODELS)
    assert result.ok, result.markdown()
    assert len([row for row in result.rows if row.status != "missing"]) == rows
    by_file = check(tmp_path / "run", COMMITTED / "cells.csv", allow_missing=models != MODELS)
    assert [(row.cell, row.ok) for row in by_file.rows] == [
        (row.cell, row.ok) for row in result.rows
    ]
    run = RunDirectory(tmp_path / "run")  # a model that no longer hears: its logits of other clips
    cell = run.cells().query("model == 'dass-nano' and length_s == 20")["cell"].iloc[0]
    scores = run.read_scores(cell)
    shifted = np.roll(scores.logits, 1, axis=0)
    examples.replace_scores(run, cell, scores.ids, scores.labels, shifted)
    result = check(tmp_path / "run", COMMITTED, allow_missing=True)
    assert [row.cell for row in result.rows if not row.ok] == [
        "dass-nano, zero, at 0.5 (effectively 1), 20 s"
    ]
