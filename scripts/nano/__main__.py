"""The paper's tables in small: models of under a million parameters, trained alike on the synthetic needles.

    python scripts/nano train [--only RUN ...]  every variant and seed, by `niah train`; goes on where it stopped
    python scripts/nano sweep                   `niah run` on 120 clips of the split `comparison`
    python scripts/nano tables                  results/nano: scores, tables and figure, the cells and their provenance
    python scripts/nano claims                  results/nano/claims.md: what holds after correction

Weights and scores go to runs/nano (or --work DIR). Some hours of one core; with --only, several processes
train side by side.
"""

import argparse
import shutil
from pathlib import Path

import claims
import runs
import tables
from scores import score
from variants import VARIANTS

from niah.records.run_directory import RunDirectory

ROOT = Path(__file__).resolve().parent.parent.parent


def main() -> None:
    names = [name for variant in VARIANTS for name in variant.runs]
    parser = argparse.ArgumentParser(
        prog="python scripts/nano",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("step", choices=("train", "sweep", "tables", "claims"))
    parser.add_argument(
        "--only", nargs="+", default=[], choices=names, metavar="RUN", help=", ".join(names)
    )
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "nano", metavar="DIR")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "nano", metavar="DIR")
    options = parser.parse_args()
    if options.step == "train":
        runs.train(options.work, options.only)
    elif options.step == "sweep":
        runs.sweep(options.work, options.only)
    elif options.step == "tables":
        run = RunDirectory(options.work / "run")
        tables.write(options.out, *score(run))
        for name in ("cells.csv", "run.json"):
            shutil.copyfile(run.path / name, options.out / name)
        claims.write(options.out)
    else:
        claims.write(options.out)


if __name__ == "__main__":
    main()
