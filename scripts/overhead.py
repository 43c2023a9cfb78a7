"""Measure what a default `niah run` costs beside its forward passes: results/benchmarks/overhead.csv.

    python scripts/overhead.py [OPTIONS]     OPTIONS go to niah run (--limit 20); the run is made in a new folder

Parts, in seconds of the wall clock of one process, from a start with compiled kernels and without features:

    imports      torch, pandas and the package
    set-up       models, needles and their features, haystacks
    forwards     the sum over cells of the median seconds a clip, times the clips
    scenes       all else of the cells: haystacks, scenes, batches, scores on disk, compiled kernels that are loaded
    statistics   metrics and intervals of all cells
    report       tables, figures and the page
"""

import csv
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CSV = ROOT / "results" / "benchmarks" / "overhead.csv"


def main(arguments: list[str]) -> None:
    """Run, measure and write the CSV."""
    began = time.perf_counter()
    import pandas as pd
    import torch

    from niah.cli.options import numbers
    from niah.pages.run_report import write
    from niah.plots.medium import draws_columns
    from niah.records.summarise import summarise
    from niah.sweep import loop
    from niah.sweep.options import RunOptions
    from niah.sweep.setup import EvalSetup
    from niah.sweep.share import Share

    seconds = {"imports": time.perf_counter() - began}
    given = dict(zip(arguments[::2], arguments[1::2], strict=True))
    options = RunOptions(
        limit=int(given["--limit"]) if "--limit" in given else None,
        lengths_s=numbers(given.get("--lengths", "10,20,50,100"), "--lengths"),
        out=Path(tempfile.mkdtemp()) / "run",
    )
    os.environ["NIAH_CACHE"] = str(options.out.parent / "cache")

    def lap(name: str) -> None:
        seconds[name] = time.perf_counter() - began - sum(seconds.values())

    setup = EvalSetup(options)
    lap("set-up")
    with loop.open_run(setup, lambda _: None) as directory:
        loop._Sweep(setup, directory, lambda _: None, Share()).all_cells()
        lap("cells")
        summarise(directory)
        lap("statistics")
    write(options.out, columns=draws_columns())
    lap("report")
    cells = pd.read_csv(options.out / "cells.csv")
    seconds["forwards"] = float((cells["latency_s"] * cells["n_clips"]).sum())
    seconds["scenes"] = seconds.pop("cells") - seconds["forwards"]
    machine = f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    load = os.getloadavg()[0]
    with CSV.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            ["part", "seconds", "share_of_forwards", "clips", "machine", "load_average"]
        )
        for name in ("imports", "set-up", "forwards", "scenes", "statistics", "report"):
            share = seconds[name] / seconds["forwards"]
            figures = f"{seconds[name]:.2f}", f"{share:.4f}", len(setup.clips)
            writer.writerow([name, *figures, machine, f"{load:.1f}"])
    sys.stdout.write(CSV.read_text())


if __name__ == "__main__":
    main(sys.argv[1:])
