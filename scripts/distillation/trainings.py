"""Train teacher, start and students by `niah train`, and sweep all of them over clips that nothing was chosen by."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from students import RECIPE, SEEDS, START, START_SETTINGS, STUDENTS, TEACHER, TEACHER_SETTINGS

LENGTHS = (10, 50)
NEEDLES = "synthetic:comparison"
SWEPT_CLIPS = 400


def train(work: Path, esc50: Path, only: Sequence[str]) -> None:
    """Train what is not trained yet, or those of `only`: teacher and start, then the students seed by seed."""
    table = esc50.resolve()
    others = ("--train", f"{table}?fold=1,2,3,4", "--eval", f"{table}?fold=5")
    wanted: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = [
        (TEACHER, TEACHER_SETTINGS, ()),
        (START, START_SETTINGS, others),
    ]
    for place, seed in enumerate(SEEDS):
        wanted += [(each.runs[place], (f"seed={seed}", *each.settings), ()) for each in STUDENTS]
    for name, settings, clips in wanted:
        if (only and name not in only) or (work / name / "card.toml").exists():
            continue
        options = [part for setting in settings for part in ("--set", setting)]
        folder = work / name
        folder.mkdir(parents=True, exist_ok=True)  # paths in the settings are relative to it
        _niah(folder, "train", RECIPE, "--out", ".", "--device", "cpu", *options, *clips)


def sweep(work: Path) -> None:
    """Sweep the teacher and all students: zeros, needle in the middle; finished cells are skipped."""
    names = [TEACHER, *(name for student in STUDENTS for name in student.runs)]
    models = [part for name in names for part in ("--model", f"{name}/card.toml")]
    _niah(
        work,
        *("run", *models, "--needles", NEEDLES, "--limit", str(SWEPT_CLIPS), "--haystack", "zero"),
        *("--lengths", ",".join(map(str, LENGTHS)), "--positions", "0.5", "--out", "run"),
    )


def _niah(folder: Path, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "niah", *arguments], check=True, cwd=folder)
