"""This repository guards its own models by `niah check`, as `make gate` does and a model repository would in its CI."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from niah.compare.check import check
from tests.helpers import tiny

COMMITTED = tiny.REPOSITORY / "results" / "embedded" / "cells.csv"


def test_the_embedded_models_score_as_committed(cache: Path, tmp_path: Path) -> None:
    if not COMMITTED.is_file():
        pytest.skip("not a checkout: an sdist has no results/embedded")
    asked = ["--lengths", "10,20", "--haystack", "zero", "--out", str(tmp_path / "run")]
    done = subprocess.run(
        [sys.executable, "-m", "niah", "run", *asked, "--device", "cpu"],
        env=tiny.environment(cache),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = check(tmp_path / "run", COMMITTED)
    assert result.ok, result.markdown()
    better = pd.read_csv(COMMITTED)  # a reference that this run falls short of
    better["mAP"] += 0.1
    better.to_csv(tmp_path / "better.csv", index=False)
    assert not check(tmp_path / "run", tmp_path / "better.csv").ok
