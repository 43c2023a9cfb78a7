"""Runs of a made-up tagger on 200 clips of 50 classes, for the gate: the same clips under other weights or noise."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from niah.records.run_directory import RunDirectory
from niah.records.schema import Value
from niah.records.summarise import summarise
from tests.helpers import examples

CLIPS, CLASSES = 200, 50
NAMES = tuple(f"c{index:02d}" for index in range(CLASSES))
IDS = tuple(f"clip{index:03d}" for index in range(CLIPS))

Logits = NDArray[np.float64]


class World:
    """One list of clips: what a tagger hears of it does not change from run to run, the noise does."""

    def __init__(self, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        second = random.random((CLIPS, CLASSES)) < 0.02
        self.targets = (np.arange(CLIPS)[:, None] % CLASSES == np.arange(CLASSES)) | second
        difficulty = random.normal(size=(CLIPS, 1))
        self.heard = random.normal(size=(CLIPS, CLASSES)) + 0.5 * difficulty
        self.labels = tuple(
            tuple(name for name, here in zip(NAMES, row, strict=True) if here)
            for row in self.targets
        )

    def logits(self, gain: float, noise: float = 0.3, seed: int = 0) -> Logits:
        """Logits of a model that hears with `gain`, in noise drawn by `seed`."""
        drawn = np.random.default_rng((seed, 99)).normal(size=self.targets.shape)
        return np.asarray(gain * self.targets + self.heard + noise * drawn)


def write(
    path: Path,
    world: World,
    cells: Sequence[tuple[Mapping[str, Value], Logits | None]],
    identity: Mapping[str, object] | None = None,
    order: Sequence[int] = range(CLIPS),
) -> Path:
    """Write a run of these cells: (columns of the row, logits or None for one that failed)."""
    order = list(order)
    stated = {**examples.IDENTITY, "labels": "made", "level": "surround", **(identity or {})}
    with RunDirectory.create_or_open(path, stated) as run:
        for columns, logits in cells:
            status = "ok" if logits is not None else "oom"
            row = examples.row(
                **{"n_clips": CLIPS, "dtype": "float32", "status": status, **columns}
            )
            if logits is not None:
                run.write_scores(
                    str(row["cell"]),
                    [IDS[i] for i in order],
                    [world.labels[i] for i in order],
                    logits[order],
                    classes=NAMES,
                )
            run.write_rows([(row, None)])
        summarise(run)
    return path


def alone() -> dict[str, Value]:
    """The columns of the needle alone."""
    return {"length_s": 10.0, "haystack": "none", "position": None}


def at(length_s: float, **columns: Value) -> dict[str, Value]:
    """The columns of a scene in zeros, the needle in the middle."""
    return {"length_s": length_s, **columns}
