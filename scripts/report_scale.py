"""Measure `niah report` of a large run: seconds and peak memory of the first report and of one after it.

    python scripts/report_scale.py                     1,000 cells x 1,000 clips x 527 classes (2 GB below --folder)
    python scripts/report_scale.py --models 1 --keep   100 cells, not written to the table; their folder stays

The run is of ten models, each at 10 s and in three kinds of scene at eleven lengths and three positions. Scores are
drawn at random in float32, as networks give them, around labels that are ranked better the shorter the scene. The first
report computes every metric, interval and calibration, as the end of `niah run` does; a later one finds them stored,
and only tabulates, draws and writes. Each report is a process of its own. Writes results/benchmarks/report.csv.
"""

import argparse
import csv
import itertools
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from niah.records.run_directory import RunDirectory
from niah.records.schema import CELL_COLUMNS, Row, Value, cell_key
from niah.vocabularies import vocabulary

CSV = Path(__file__).resolve().parent.parent / "results" / "benchmarks" / "report.csv"
HEADER = (
    *("report", "cells", "clips", "classes", "wall_s", "cpu_s", "peak_gib"),
    *("machine", "load_average"),
)
MODELS = 10
SCENES: tuple[tuple[str, float | None], ...] = (("zero", None), ("babble", 0.0), ("babble", 10.0))
LENGTHS_S = (20.0, 50.0, 100.0, 200.0, 300.0, 500.0, 1000.0, 2000.0, 3600.0, 6000.0, 9000.0)
POSITIONS = (0.0, 0.5, 1.0)
CLIPS, LABELS = 1000, 3  # labels of a clip at most
GAIN, LENGTH_LOSS, NOISE_LOSS = 5.0, 0.4, 0.05  # logits of a present class above others


def rows(models: int) -> Iterator[tuple[Row, float]]:
    """Yield the row of every cell, with the height of a present class's logits in it."""
    for model in (f"model-{index}" for index in range(models)):
        yield row(model, "none", None, 10.0, None), GAIN
        for (haystack, snr_db), length_s, at in itertools.product(SCENES, LENGTHS_S, POSITIONS):
            noise = 0.0 if snr_db is None else NOISE_LOSS * (30.0 - snr_db)
            gain = GAIN - noise - LENGTH_LOSS * float(np.log(length_s / 10.0))
            yield row(model, haystack, snr_db, length_s, at), gain


def row(
    model: str, haystack: str, snr_db: float | None, length_s: float, position: float | None
) -> Row:
    """Return a valid row."""
    known: dict[str, Value] = {
        **dict.fromkeys(CELL_COLUMNS),
        **{"model": model, "checkpoint_sha256": "f" * 64, "protocol": "niah-v2"},
        **{"needles": "drawn", "n_clips": CLIPS, "seed": 0, "status": "ok"},
        **{"haystack": haystack, "snr_db": snr_db, "length_s": length_s, "position": position},
        **{"latency_s": length_s / 500, "rtf": 500.0, "peak_memory_bytes": 2**30},
        **{"device": "cpu", "dtype": "float32"},
    }
    return {**known, "cell": cell_key(known)}


def write_run(folder: Path, models: int) -> int:
    """Write the run and return its number of cells."""
    classes = vocabulary("audioset-527").ids
    random = np.random.default_rng(0)
    present = [random.choice(len(classes), 1 + i % LABELS, replace=False) for i in range(CLIPS)]
    labels = [[classes[each] for each in sorted(of)] for of in present]
    targets: NDArray[np.float32] = np.zeros((CLIPS, len(classes)), np.float32)
    for clip, of in enumerate(present):
        targets[clip, of] = 1.0
    ids = [f"clip{index:04d}" for index in range(CLIPS)]
    identity = {"protocol": "niah-v2", "needles": "drawn", "ids_sha256": "0" * 64, "seed": 0}
    with RunDirectory.create_or_open(folder, identity) as run:
        stored = []
        for made, gain in rows(models):
            noise = random.normal(-6.0, 2.0, size=targets.shape).astype(np.float32)
            logits = noise + np.float32(gain) * targets
            run.write_scores(str(made["cell"]), ids, labels, logits, classes=classes)
            stored.append((made, None))
        run.write_rows(stored)
    return len(stored)


def measured(name: str, folder: Path, cells: int) -> list[str]:
    """Report the run in a process of its own and return the table's row."""
    load, begin = os.getloadavg()[0], time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "COLUMNS": "120"}
    peak_file = folder.parent / "peak"
    command = [sys.executable, str(Path(__file__).resolve()), "--report", str(folder)]
    subprocess.run(
        [*command, str(peak_file)], check=True, env=environment, stdout=subprocess.DEVNULL
    )
    wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    machine = f"{platform.machine()}, {os.cpu_count()} cores, numpy {np.__version__}"
    classes = len(vocabulary("audioset-527").ids)
    numbers = f"{wall:.1f}", f"{cpu:.1f}", f"{int(peak_file.read_text()) / 2**20:.2f}"
    return [name, str(cells), str(CLIPS), str(classes), *numbers, machine, f"{load:.1f}"]


def report(folder: Path, peak_file: Path) -> None:
    """Report as `niah report` does, and store the largest peak of this process and its helpers, KiB."""
    from niah.cli.report import show_report

    show_report(folder)
    of = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    peak_file.write_text(str(max(resource.getrusage(each).ru_maxrss for each in of)))


def main() -> None:
    """Write the run, report it twice and store the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--models", type=int, default=MODELS, help="100 cells each")
    parser.add_argument("--folder", type=Path, help="where the run goes (default: a temporary one)")
    parser.add_argument("--keep", action="store_true", help="leave the run there")
    parser.add_argument("--report", nargs=2, type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.report:
        report(*arguments.report)
        return
    folder = Path(tempfile.mkdtemp(dir=arguments.folder)) / "run"
    cells = write_run(folder, arguments.models)
    table: list[tuple[str, ...]] = [HEADER]
    for name in ("first", "later"):
        table.append(tuple(measured(name, folder, cells)))
        print(*table[-1], sep=", ", flush=True)
    if arguments.models == MODELS:
        with CSV.open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(table)
    if arguments.keep:
        print(folder)
    else:
        shutil.rmtree(folder.parent)


if __name__ == "__main__":
    main()
