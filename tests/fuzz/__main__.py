"""Fuzz loaders from the command line: `python -m tests.fuzz [LOADER ..] [--inputs N] [--first I] [--keep FOLDER]`."""

import argparse
import os
import sys
import tempfile
from pathlib import Path


def main() -> int:
    """Print the counts and the faults; return 1 where there is a fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("loaders", nargs="*", help="all by default")
    parser.add_argument("--inputs", type=int, default=100, help="of each loader")
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--keep", type=Path, help="only write the first input here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="niah-fuzz-home-") as home:
        # what is imported below must find no settings or caches of the user's
        os.environ.update(
            NIAH_CACHE=home,
            MPLCONFIGDIR=home,
            HF_HUB_OFFLINE="1",
            MPLBACKEND="Agg",
        )
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    import torch

    from tests.fuzz.harness import fuzz, make_input
    from tests.fuzz.loaders import LOADERS, warm_up
    from tests.fuzz.report import faults_text, markdown

    chosen = [each for each in LOADERS if not options.loaders or each.name in options.loaders]
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
        print(make_input(chosen[0], options.first, options.keep))
        return 0
    torch.set_num_threads(1)
    counts = []
    for loader in chosen:
        warm_up(loader)
        counts.append(fuzz(loader, options.first, options.inputs))
        print(markdown(counts[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
    faults = [fault for each in counts for fault in each.faults]
    print(markdown(counts))
    if faults:
        print(f"\n{faults_text(faults)}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
