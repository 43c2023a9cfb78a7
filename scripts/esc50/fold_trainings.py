"""Four small networks trained on four of the folds, five times, and swept over the fifth."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from folds import FOLDS

NETWORKS = {
    "dass-nano": "DASS",
    "ast-sin-nano": "AST, 1-D positions",
    "ast-sin2d-nano": "AST, 2-D positions",
    "aum-nano": "AuM",
}
SETTINGS = (
    "clips=0",
    "validation_clips=0",
    "epochs=12",
    "head_bias=-3.95",  # log-odds of one class in 53
    "average_last=3",
    "learning_rate=5e-4",
    "warmup_steps=100",
    "mixup_rate=0.3",
    "frequency_mask=16",
    "time_mask=96",
    "gain_db=6.0",
)
LENGTHS = {"zero": (10, 50, 100), "gaussian": (10, 50)}  # of each haystack, seconds
SNR_DB = 10


def name_of(network: str, fold: int) -> str:
    """Return the name of a training: of its folder and in tables."""
    return f"{network}-fold{fold}"


def names() -> list[str]:
    """Return all trainings, fold by fold."""
    return [name_of(network, fold + 1) for fold in range(FOLDS) for network in NETWORKS]


def train(work: Path, only: Sequence[str]) -> None:
    """Train what is not trained yet, or those of `only`, from the embedded weights and a head of new classes."""
    for fold in range(1, FOLDS + 1):
        for network in NETWORKS:
            name = name_of(network, fold)
            folder = work / name
            if (only and name not in only) or (folder / "card.toml").exists():
                continue
            train_one(work, fold, network, folder)


def train_one(work: Path, fold: int, network: str, out: Path, *more: str) -> None:
    """Train a network on four of the folds in `work`, by the settings of all and some more of its own."""
    settings = (*SETTINGS, f"start={network}", f"labels={work.resolve() / 'labels.txt'}", *more)
    options = [part for setting in settings for part in ("--set", setting)]
    table = work / f"fold-{fold}"
    clips = ("--train", table / "train.csv", "--eval", table / "heldout.csv")
    niah("train", network, "--out", out, "--device", "cpu", *options, *clips)


def sweep(work: Path, only: Sequence[str]) -> None:
    """Sweep each fold's networks over its own clips; finished cells are skipped."""
    for fold in range(1, FOLDS + 1):
        if only and f"fold-{fold}" not in only:
            continue
        models = [
            part
            for network in NETWORKS
            for part in ("--model", work / name_of(network, fold) / "card.toml")
        ]
        for haystack, lengths in LENGTHS.items():
            niah(
                *("run", *models, "--needles", work / f"fold-{fold}" / "heldout.csv"),
                *("--haystack", haystack, "--snr", str(SNR_DB)),
                *("--lengths", ",".join(map(str, lengths))),
                *("--positions", "0.5", "--out", work / f"run-{fold}"),
            )


def niah(*arguments: str | Path) -> None:
    """Run a command of the package, which finds the modules of this folder; end as it does where it fails."""
    path = os.pathsep.join(filter(None, (str(Path(__file__).parent), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", "niah", *map(str, arguments)]
    if status := subprocess.run(command, env=os.environ | {"PYTHONPATH": path}).returncode:
        sys.exit(status)
