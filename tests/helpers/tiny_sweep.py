"""A quick run of a tiny tagger over six clips, and what its directory holds."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

import niah
from tests.helpers import tiny

VARYING = ["latency_s", "rtf", "peak_memory_bytes"]  # what no two runs have in common


@dataclass(frozen=True)
class Material(tiny.Material):
    """A quick run by `niah.run`."""

    def options(self, out: Path, **changes: Any) -> dict[str, Any]:
        return {
            "models": str(self.card),
            "checkpoint": str(self.weights),
            "needles": str(self.clips),
            "haystack": ["zero", "gaussian"],
            "lengths": [10, 12, 20],
            "protocol": "dass-v1",
            "device": "cpu",
            "out": out,
            **changes,
        }

    def run(
        self, out: Path, **changes: Any
    ) -> Any:  # a table; the types of pandas' look-ups are in the way
        return niah.run(**self.options(out, **changes))


def state_of(run: Path) -> dict[str, tuple[int, bytes]]:
    """Time and content of every file that a cell has."""
    files = [*run.glob("cells/*.json"), *run.glob("scores/*.parquet")]
    return {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in files}


def cells_of(run: Path) -> pd.DataFrame:
    return pd.read_csv(run / "cells.csv").drop(columns=VARYING)


def copied(run: Path) -> Path:
    """A copy of a run, its files' times kept."""
    import shutil
    import tempfile

    out = Path(tempfile.mkdtemp(dir=run.parent)) / "run"
    shutil.copytree(run, out)
    return out


def average_precisions(targets: NDArray[Any], scores: NDArray[Any]) -> list[float]:
    return [
        float(average_precision_score(targets[:, c], scores[:, c]))
        for c in range(targets.shape[1])
        if targets[:, c].any()
    ]
