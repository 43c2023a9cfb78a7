"""Measure what a default `niah run` costs beside its forward passes: results/benchmarks/overhead.csv.

    python scripts/overhead.py [--limit N] [--lengths 10,20,..]     as of niah run; the run is made in a new folder

Parts, in processor seconds of one process, which the rest of the machine's work changes little, from a start with
compiled kernels and without features:

    imports      torch, pandas and the package
    set-up       models, needles and their features, haystacks
    forwards     passes through the networks
    scenes       all else of the cells: haystacks, scenes, batches, scores on disk, compiled kernels that are loaded
    statistics   metrics and intervals of all cells
    report       tables, figures and the page
    whole        all of these
    one by one   the clock of the passes alone, each on all cores with nothing beside it: latency x clips of all cells

Passes run beside each other, one a core: what the whole run takes compares with its passes one by one.
"""

import csv
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from niah.system.openmp import spin_briefly

ROOT = Path(__file__).resolve().parent.parent
CSV = ROOT / "results" / "benchmarks" / "overhead.csv"


def main(arguments: list[str]) -> None:
    """Run, measure and write the CSV."""
    spin_briefly()  # as `niah` does
    began = time.perf_counter()
    import torch

    from niah.cli.options import numbers
    from niah.pages.run_report import write
    from niah.plots.medium import draws_columns
    from niah.records.summarise import summarise
    from niah.sweep import inference, loop
    from niah.sweep.options import RunOptions
    from niah.sweep.setup import EvalSetup
    from niah.sweep.share import Share
    from niah.system.download import cache_folder
    from niah.system.memory import keep_freed_memory

    cpu_s, wall_s = {"imports": time.process_time()}, {"imports": time.perf_counter() - began}
    given = dict(zip(arguments[::2], arguments[1::2], strict=True))
    options = RunOptions(
        limit=int(given["--limit"]) if "--limit" in given else None,
        lengths_s=numbers(given.get("--lengths", "10,20,50,100"), "--lengths"),
        out=Path(tempfile.mkdtemp()) / "run",
    )
    cache, kernels = options.out.parent / "cache", cache_folder() / "numba"
    cache.mkdir()
    kernels.mkdir(parents=True, exist_ok=True)
    (cache / "numba").symlink_to(kernels)  # compiled ones stay, features do not
    os.environ["NIAH_CACHE"] = str(cache)
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
        cpu_s[name] = time.process_time() - sum(cpu_s.values())
        wall_s[name] = time.perf_counter() - began - sum(wall_s.values())

    keep_freed_memory()
    setup = EvalSetup(options)
    lap("set-up")
    with loop.open_run(setup, lambda _: None) as directory:
        loop._Sweep(setup, directory, lambda _: None, Share()).all_cells()
        lap("cells")
        summarise(directory)
        lap("statistics")
    write(options.out, columns=draws_columns())
    lap("report")
    cpu_s["forwards"] = sum(passes)
    cpu_s["scenes"] = cpu_s.pop("cells") - cpu_s["forwards"]
    machine = f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    load = os.getloadavg()[0]
    with CSV.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        header = ["part", "cpu_seconds", "share_of_forwards", "wall_seconds", "clips", "machine"]
        writer.writerow([*header, "load_average"])
        wall_s["forwards"] = wall_s.pop("cells")  # scenes are made beside them
        cpu_s["whole"], wall_s["whole"] = sum(cpu_s.values()), sum(wall_s.values())
        cells = directory.cells()
        wall_s["one by one"] = float((cells["latency_s"] * cells["n_clips"]).sum())
        parts = (
            "imports",
            "set-up",
            "forwards",
            "scenes",
            "statistics",
            "report",
            "whole",
            "one by one",
        )
        for name in parts:
            cpu = f"{cpu_s[name]:.2f}" if name in cpu_s else ""
            share = f"{cpu_s[name] / cpu_s['forwards']:.4f}" if name in cpu_s else ""
            wall = f"{wall_s[name]:.1f}" if name in wall_s else ""
            writer.writerow([name, cpu, share, wall, len(setup.clips), machine, f"{load:.1f}"])
    sys.stdout.write(CSV.read_text())


if __name__ == "__main__":
    main(sys.argv[1:])
