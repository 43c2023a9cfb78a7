"""Measure what scoring equal windows once saves, in one process: windows and seconds a clip, with and without.

    python scripts/reuse.py            measure into results/benchmarks/reuse.csv, write the table in docs/scale-out.md
    python scripts/reuse.py --table    write the table from the CSV, without measuring

Scenes and scores are those of `niah run --window 10`. The plain way is measured over few clips, as its seconds a clip
are the same for each; its scores must be the same bits.
"""

import argparse
import csv
import platform
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from niah.sweep.evaluator import ModelEvaluator
from niah.sweep.options import RunOptions
from niah.sweep.plan import Cell
from niah.sweep.setup import EvalSetup

ROOT = Path(__file__).resolve().parent.parent
PAGE, CSV = ROOT / "docs" / "scale-out.md", ROOT / "results" / "benchmarks" / "reuse.csv"
BEGIN, END = "<!-- table: scripts/reuse.py -->", "<!-- end of table -->"


@dataclass(frozen=True)
class Case:
    """Cells of one haystack: clips of the plain way, and with equal windows scored once."""

    model: str
    haystack: str
    length_s: float
    positions: tuple[float, ...]
    snr_db: float | None
    plain_clips: int
    clips: int
    words: str


CASES = (
    Case("dass-nano", "zero", 9000.0, (0.5,), None, 1, 100, "2.5 h of zeros"),
    Case(
        "ast-sin-nano", "zero", 300.0, (0.0, 0.5, 1.0), None, 2, 20, "300 s of zeros, 3 positions"
    ),
    Case(
        "ast-sin-nano",
        "gaussian",
        300.0,
        (0.0, 0.5, 1.0),
        10.0,
        2,
        5,
        "300 s of Gaussian noise, 3 positions",
    ),
)


def scored(case: Case, clips: int, *, reuse: bool) -> tuple[list[np.ndarray], int, float]:
    """Return the logits of the cells, the windows that were scored and the seconds of all."""
    options = RunOptions(
        models=(case.model,),
        haystacks=(case.haystack,),
        lengths_s=(case.length_s,),
        window_s=10.0,
        limit=max(clips, 20),
        reuse=reuse,
        out=Path(tempfile.mkdtemp()) / "run",
    )
    setup = EvalSetup(options)
    model = ModelEvaluator(options, setup.load(setup.models[0]), setup.device)
    cells = [
        Cell(case.model, case.haystack, case.length_s, case.snr_db, position)
        for position in case.positions
    ]
    assert model.scorer.windows is not None
    warm_up = [Cell(case.model, case.haystack, 20.0, case.snr_db, 0.5)]
    model.score(warm_up, range(1), lambda _: None)
    before, begin = model.scorer.windows.windows_scored, time.perf_counter()
    logits = [model.score([cell], range(clips), lambda _: None).logits for cell in cells]
    return logits, model.scorer.windows.windows_scored - before, time.perf_counter() - begin


def measure() -> list[dict[str, object]]:
    """Measure every case."""
    rows = []
    for case in CASES:
        plain, windows, seconds = scored(case, case.plain_clips, reuse=False)
        reused, few, short = scored(case, case.clips, reuse=True)
        for a, b in zip(plain, reused, strict=True):
            np.testing.assert_array_equal(a, b[: len(a)])
        scenes, plain_scenes = case.clips * len(plain), case.plain_clips * len(plain)
        row: dict[str, object] = {
            "model": case.model,
            "scenes": case.words,
            "clips": case.clips,
            "plain_clips": case.plain_clips,
            "plain_windows_a_scene": windows / plain_scenes,
            "windows_a_scene": round(few / scenes, 3),
            "plain_s_a_scene": round(seconds / plain_scenes, 4),
            "s_a_scene": round(short / scenes, 4),
            "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}",
        }
        print(row, flush=True)
        rows.append(row)
    return rows


def table(rows: list[dict[str, str]]) -> str:
    """Render the rows of the CSV."""
    lines = [
        "| scenes in windows of 10 s | model | clips | windows: all | once | ratio | s: all | once | ratio |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        windows = float(row["plain_windows_a_scene"]), float(row["windows_a_scene"])
        seconds = float(row["plain_s_a_scene"]), float(row["s_a_scene"])
        lines.append(
            f"| {row['scenes']} | {row['model']} | {row['clips']} | {windows[0]:,.0f} | {windows[1]:.2f} | "
            f"{windows[0] / windows[1]:,.0f} | {seconds[0]:.3g} | {seconds[1]:.3g} | {seconds[0] / seconds[1]:,.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure unless `--table`, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--table", action="store_true", help="do not measure")
    if not parser.parse_args().table:
        rows = measure()
        with CSV.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    with CSV.open() as file:
        stored = list(csv.DictReader(file))
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    said = f"A scene, by the clock of a busy machine ({stored[0]['machine']}); scores of both ways are the same bits."
    made = f"{BEGIN}\n\n{table(stored)}\n\n{said}\n\n{END}"
    PAGE.write_text(before + made + after)


if __name__ == "__main__":
    main()
