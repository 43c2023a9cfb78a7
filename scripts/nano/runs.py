"""Train every run, and sweep all of them in one `niah run`, over clips that no choice was made on."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from variants import SAME, SEEDS, VARIANTS

LENGTHS = (10, 50, 300)
CLIPS = 120
NEEDLES = "synthetic:comparison"


def train(work: Path, only: Sequence[str]) -> None:
    """Train all runs, or those of `only`, seed by seed, so that early results compare; finished ones are skipped."""
    for place, seed in enumerate(SEEDS):
        for variant in VARIANTS:
            name = variant.runs[place]
            if (only and name not in only) or (work / name / "card.toml").exists():
                continue
            settings = [f"seed={seed}", *SAME, *variant.settings]
            options = [part for each in settings for part in ("--set", each)]
            _niah(work, "train", variant.recipe, "--out", name, "--device", "cpu", *options)


def sweep(work: Path, only: Sequence[str]) -> None:
    """Sweep all runs, or those of `only`: zeros, needle in the middle; finished cells are skipped."""
    names = [name for variant in VARIANTS for name in variant.runs if not only or name in only]
    models = [part for name in names for part in ("--model", f"{name}/card.toml")]
    _niah(
        work,
        *("run", *models, "--needles", NEEDLES, "--limit", str(CLIPS), "--haystack", "zero"),
        *("--lengths", ",".join(map(str, LENGTHS)), "--positions", "0.5"),
        *("--out", "run", "--protocol", "dass-v1"),
    )


def _niah(work: Path, *arguments: str) -> None:
    """Run `niah` in `work`, so that run.json has relative paths."""
    work.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "niah", *arguments], check=True, cwd=work)
