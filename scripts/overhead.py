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

Passes run on all cores at once, so the clock shows less than the sum; `wall_seconds` has it, of the load in the CSV.
"""

import csv
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CSV = ROOT / "results" / "benchmarks" / "overhead.csv"


def main(arguments: list[str]) -> None:
    """Run, measure and write the CSV."""
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
    from niah.system.memory import keep_freed_memory

    cpu_s, wall_s = {"imports": time.process_time()}, {"imports": time.perf_counter() - began}
    given = dict(zip(arguments[::2], arguments[1::2], strict=True))
    options = RunOptions(
        limit=int(given["--limit"]) if "--limit" in given else None,
        lengths_s=numbers(given.get("--lengths", "10,20,50,100"), "--lengths"),
        out=Path(tempfile.mkdtemp()) / "run",
    )
    os.environ["NIAH_CACHE"] = str(options.out.parent / "cache")
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
        for name in ("imports", "set-up", "forwards", "scenes", "statistics", "report"):
            share = cpu_s[name] / cpu_s["forwards"]
            wall = wall_s["cells"] if name == "forwards" else wall_s.get(name)
            shown = "" if wall is None else f"{wall:.1f}"  # scenes are made beside the passes
            figures = f"{cpu_s[name]:.2f}", f"{share:.4f}", shown, len(setup.clips)
            writer.writerow([name, *figures, machine, f"{load:.1f}"])
    sys.stdout.write(CSV.read_text())


if __name__ == "__main__":
    main(sys.argv[1:])
