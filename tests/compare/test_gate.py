"""This repository guards its own models by `niah check`, as `make gate` does and a model repository would in its CI."""

from pathlib import Path

import numpy as np
import pytest

import niah
from niah.compare.check import check
from niah.records.run_directory import RunDirectory
from tests.helpers import examples, tiny

COMMITTED = tiny.REPOSITORY / "results" / "gate"


def test_the_embedded_models_score_as_committed(tmp_path: Path) -> None:
    if not COMMITTED.is_dir():
        pytest.skip("not a checkout: an sdist has no results/gate")
    niah.run(
        protocol="dass-v1", haystack="zero", lengths=[10, 20], device="cpu", out=tmp_path / "run"
    )
    for against in (COMMITTED, COMMITTED / "cells.csv"):
        result = check(tmp_path / "run", against)
        assert result.ok, result.markdown()
        assert len(result.rows) == 6
    run = RunDirectory(tmp_path / "run")  # a model that no longer hears: its logits of other clips
    cell = run.cells().query("model == 'dass-nano' and length_s == 20")["cell"].iloc[0]
    scores = run.read_scores(cell)
    shifted = np.roll(scores.logits, 1, axis=0)
    examples.replace_scores(run, cell, scores.ids, scores.labels, shifted)
    result = check(tmp_path / "run", COMMITTED)
    assert [row.cell for row in result.rows if not row.ok] == [
        "dass-nano, zero, at 0.5 (effectively 1), 20 s"
    ]
