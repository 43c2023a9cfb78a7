"""Measure what a default `niah run` costs beside its forward passes: results/benchmarks/overhead.csv.

    python scripts/overhead.py [--runs 3] [--limit N] [--lengths 10,20,..]     limit and lengths as of niah run

Each run is made in a process and a folder of its own, from a start with compiled kernels and without features. Its
parts, in processor seconds (its children's too), which the rest of the machine's work changes little, and by the clock:

    imports      torch, pandas and the package
    set-up       models, needles and their features, haystacks
    forwards     passes through the networks; by the clock all of the cells, whose scenes are made beside them
    scenes       all else of the cells: haystacks, scenes, batches, scores on disk, compiled kernels that are loaded
    statistics   metrics and intervals of all cells
    report       tables, figures and the page
    whole        all of these
    one by one   the clock of the passes alone, each on all cores with nothing beside it: latency x clips of all cells

Passes run beside each other, one a core: what the whole run takes compares with its passes one by one.
"""

import argparse
import csv
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from niah.system.openmp import spin_briefly

ROOT = Path(__file__).resolve().parent.parent
CSV = ROOT / "results" / "benchmarks" / "overhead.csv"
HEADER = "run,part,cpu_seconds,share_of_forwards,wall_seconds,share_of_one_by_one,clips,machine,load_average"


def main() -> None:
    """Make the runs, one after another, and write the CSV; with `--out`, make one and print its times."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--lengths", default="10,20,50,100")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    if given.out is not None:
        print(json.dumps(measured(given.out, given.limit, given.lengths)))
        return
    rows = []
    for number in range(1, given.runs + 1):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, __file__, *sys.argv[1:], "--out", folder]
            printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        rows += [[number, *row] for row in json.loads(printed)]
    with CSV.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER.split(","))
        writer.writerows(rows)
    sys.stdout.write(CSV.read_text())


def measured(folder: Path, limit: int | None, lengths: str) -> list[list[str | int]]:
    """Make one run in a folder; return the rows of its parts, without its number."""
    spin_briefly()  # as `niah` does
    load = os.getloadavg()[0]
    began = time.perf_counter()
    import torch

    from niah.cli.options import numbers
    from niah.pages.run_report import write
    from niah.records.summarise import summarise
    from niah.sweep import inference, loop
    from niah.sweep.options import RunOptions
    from niah.sweep.setup import EvalSetup
    from niah.sweep.share import Share
    from niah.system.figure_files import wants_columns
    from niah.system.memory import keep_freed_memory

    cpu_s, wall_s = {"imports": _cpu_s()}, {"imports": time.perf_counter() - began}
    options = RunOptions(limit=limit, lengths_s=numbers(lengths, "--lengths"), out=folder / "run")
    os.environ["NIAH_CACHE"] = str(_cache_of_kernels(folder / "cache"))
    passes: list[float] = []
    plain = inference._score

    def timed(adapter: Any, batch: Any) -> Any:
        """Score a batch; passes alone on all cores have the process's time, those on one core the thread's."""
        clock = time.thread_time if torch.get_num_threads() == 1 else time.process_time
        begin = clock()
        logits = plain(adapter, batch)
        passes.append(clock() - begin)
        return logits

    inference._score = timed

    def lap(name: str) -> None:
        cpu_s[name] = _cpu_s() - sum(cpu_s.values())
        wall_s[name] = time.perf_counter() - began - sum(wall_s.values())

    keep_freed_memory()
    setup = EvalSetup(options)
    lap("set-up")
    with loop.open_run(setup, lambda _: None) as directory:
        loop._Sweep(setup, directory, lambda _: None, Share()).all_cells()
        lap("cells")
        summarise(directory)
        lap("statistics")
    write(options.out, columns=wants_columns())
    lap("report")
    cpu_s["forwards"] = sum(passes)
    cpu_s["scenes"] = cpu_s.pop("cells") - cpu_s["forwards"]
    wall_s["forwards"] = wall_s.pop("cells")
    cpu_s["whole"], wall_s["whole"] = sum(cpu_s.values()), sum(wall_s.values())
    cells = directory.cells()
    wall_s["one by one"] = float((cells["latency_s"] * cells["n_clips"]).sum())
    machine = f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    order = "imports", "set-up", "forwards", "scenes", "statistics", "report", "whole", "one by one"
    return [
        [
            part,
            *_with_share(cpu_s.get(part), cpu_s["forwards"], 2),
            *_with_share(wall_s.get(part), wall_s["one by one"], 1),
            len(setup.clips),
            machine,
            f"{load:.1f}",
        ]
        for part in order
    ]


def _cpu_s() -> float:
    """Return the processor seconds of this process and of its children that have ended."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def _with_share(seconds: float | None, of_s: float, digits: int) -> tuple[str, str]:
    """Return seconds and their share as texts, empty where they were not measured."""
    return ("", "") if seconds is None else (f"{seconds:.{digits}f}", f"{seconds / of_s:.4f}")


def _cache_of_kernels(folder: Path) -> Path:
    """Return a new cache folder, in which compiled kernels are, but no features."""
    from niah.system.download import cache_folder

    kernels = cache_folder() / "numba"
    folder.mkdir()
    kernels.mkdir(parents=True, exist_ok=True)
    (folder / "numba").symlink_to(kernels)
    return folder


if __name__ == "__main__":
    main()
