"""Four small networks on ESC-50's sounds and on instruments, each trained and held out in five folds by recording.

    python scripts/esc50/esc50.py folds ESC50 INSTRUMENTS   tables of the folds
    python scripts/esc50/esc50.py train                     twenty trainings; goes on where it stopped
    python scripts/esc50/esc50.py sweep                     `niah run` of each fold's networks on its own clips
    python scripts/esc50/esc50.py tables                    results/esc50-folds: scores, contrasts, figure

ESC50 is a manifest.csv with columns path and label, INSTRUMENTS one with source_sha256 too. Weights and scores go to
runs/esc50 (or --work DIR). Hours of one core; with --only, several processes share the work.
"""

import argparse
from pathlib import Path

import fold_trainings
import folds

ROOT = Path(__file__).resolve().parent.parent.parent


def main() -> None:
    names = [*fold_trainings.names(), *(f"fold-{fold + 1}" for fold in range(folds.FOLDS))]
    parser = argparse.ArgumentParser(
        prog="python scripts/esc50/esc50.py",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("step", choices=("folds", "train", "sweep", "tables"))
    parser.add_argument("tables", type=Path, nargs="*", help="ESC50 and INSTRUMENTS, for `folds`")
    parser.add_argument(
        "--only", nargs="+", default=[], choices=names, metavar="NAME", help=", ".join(names)
    )
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "esc50", metavar="DIR")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "esc50-folds", metavar="DIR")
    options = parser.parse_args()
    if options.step == "folds":
        if len(options.tables) != 2:
            parser.error("folds needs the tables of ESC-50 and of the instruments")
        folds.write(options.work, *options.tables)
    elif not (options.work / "labels.txt").is_file():
        parser.error(f"{options.work} has no folds yet: first folds ESC50 INSTRUMENTS")
    elif options.step == "train":
        fold_trainings.train(options.work, options.only)
    elif options.step == "sweep":
        fold_trainings.sweep(options.work, options.only)
    else:
        import fold_scores

        fold_scores.write(options.work, options.out, fold_scores.FAMILIES)


if __name__ == "__main__":
    main()
