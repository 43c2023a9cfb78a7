"""Measure a training step beside another commit's, in turns: results/benchmarks/training_pairs.csv.

    git worktree add --detach ../before a90791f
    python scripts/training_pairs.py ../before

Each tree trains in a process of its own that waits for its turn. A step is forward, backward, clipping and AdamW on the
same clips of 10 s; a ratio is of two successive turns, and the median of the ratios counts. Times are without the
loader's work: of one thread in processor seconds, which the rest of the machine's work changes little, and of two on
the clock, with torch's threads as `niah train` of that tree sets them.
"""

import csv
import os
import platform
import subprocess
import sys
import time
from contextlib import suppress
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CSV = ROOT / "results" / "benchmarks" / "training_pairs.csv"
BATCHES = {"dass-nano": (8, 3), "dass-small": (2, 1)}  # clips, steps a turn
THREADS = (1, 2)
TURNS = 9
CLASSES = 527


def worker(model: str, clips: int, threads: int) -> None:
    """Train by the number of steps in each line of standard input, and print the seconds of a step."""
    with suppress(ImportError):  # an earlier tree has none
        from niah.system.openmp import spin_briefly

        spin_briefly()
    import torch

    from niah.adapters.dass import Dass
    from niah.cards import find_model
    from niah.system.memory import keep_freed_memory
    from niah.training.losses import tagging_loss
    from niah.training.optimiser import make_optimiser
    from niah.training.recipes import Recipe

    keep_freed_memory()
    clock = time.process_time if threads == 1 else time.perf_counter
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    network = Dass.build(find_model(model)[0].config, CLASSES).train()
    features, targets = torch.randn(clips, 1024, 128), (torch.rand(clips, CLASSES) < 0.01).float()
    optimiser = make_optimiser(Recipe(model=model, name=model), network)
    for line in chain(["1"], sys.stdin):
        begin = clock()
        for _ in range(int(line)):
            optimiser.zero_grad()
            loss = tagging_loss(network(features), targets)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
        print((clock() - begin) / int(line), flush=True)


def start(tree: Path, model: str, clips: int, threads: int) -> subprocess.Popen[str]:
    """Start a worker that imports the package of a tree, and wait for its first step."""
    own = (model, str(clips), str(threads))
    command = [sys.executable, str(Path(__file__).resolve()), "--worker", *own]
    settings = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": str(threads)}
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, cwd=tree, env=settings, stdin=pipe, stdout=pipe, text=True)
    take_turn(process, 0)
    return process


def take_turn(process: subprocess.Popen[str], steps: int) -> float:
    """Return the seconds of a step of the next turn; of the first step, begun already, if `steps` is 0."""
    assert process.stdin is not None
    assert process.stdout is not None
    if steps:
        process.stdin.write(f"{steps}\n")
        process.stdin.flush()
    return float(process.stdout.readline())


def commit(tree: Path) -> str:
    """Return the abbreviated commit of a tree."""
    command = ["git", "-C", str(tree), "rev-parse", "--short=7", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def ratios_of(before: Path, model: str, threads: int) -> list[Any]:
    """Measure one model in turns; return seconds before and after, and the ratios' median, least and largest."""
    clips, steps = BATCHES[model]
    both = [start(tree, model, clips, threads) for tree in (before, ROOT)]
    turns = []
    for turn in range(TURNS):
        order = both if turn % 2 else both[::-1]
        seconds = {process.pid: take_turn(process, steps) for process in order}
        turns.append([seconds[process.pid] for process in both])
    for process in both:
        process.communicate()
    ratios = [old / new for old, new in turns]
    times = [f"{median(column):.3f}" for column in zip(*turns, strict=True)]
    return [*times, *(f"{x:.2f}" for x in (median(ratios), min(ratios), max(ratios)))]


def main(before: Path) -> None:
    """Measure both models and write the CSV."""
    import torch

    machine = f"{platform.machine()}, torch {torch.__version__}"
    trees = commit(before), commit(ROOT)
    with CSV.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        header = ["model", "clips", "threads", "before", "after", "before_s", "after_s", "ratio"]
        writer.writerow([*header, "ratio_min", "ratio_max", "machine", "load_average"])
        for threads in THREADS:
            for model, (clips, _) in BATCHES.items():
                measured = ratios_of(before, model, threads)
                load = f"{os.getloadavg()[0]:.1f}"
                writer.writerow([model, clips, threads, *trees, *measured, machine, load])
    sys.stdout.write(CSV.read_text())


if __name__ == "__main__":
    if sys.argv[1] == "--worker":
        worker(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        main(Path(sys.argv[1]).resolve())
