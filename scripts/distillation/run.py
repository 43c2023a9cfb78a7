"""Distillation in small: does a teacher that has learnt from many clips help a student with few?

    python scripts/distillation/run.py train ESC50   teacher, start and students; goes on where it stopped
    python scripts/distillation/run.py sweep         `niah run` on 400 clips of the split `comparison`
    python scripts/distillation/run.py tables        results/distillation: scores, contrasts, figure

ESC50 is a manifest.csv or meta/esc50.csv with a column fold, which the start is trained on. Weights and scores go to
runs/distillation (or --work DIR). Some two hours of one core; `train ESC50 --only RUN ..` trains some, so that several
processes can share the work.
"""

import argparse
from pathlib import Path

import trainings
from students import START, STUDENTS, TEACHER

ROOT = Path(__file__).resolve().parent.parent.parent


def main() -> None:
    names = [TEACHER, START, *(name for student in STUDENTS for name in student.runs)]
    parser = argparse.ArgumentParser(
        prog="python scripts/distillation/run.py",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("step", choices=("train", "sweep", "tables"))
    parser.add_argument("esc50", type=Path, nargs="?", help="the table of ESC-50, for `train`")
    parser.add_argument(
        "--only", nargs="+", default=[], choices=names, metavar="RUN", help=", ".join(names)
    )
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "distillation", metavar="DIR")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "results" / "distillation", metavar="DIR"
    )
    options = parser.parse_args()
    if options.step == "train":
        if options.esc50 is None:
            parser.error("train needs the table of ESC-50")
        trainings.train(options.work, options.esc50, options.only)
    elif options.step == "sweep":
        trainings.sweep(options.work)
    else:
        import contrasts

        contrasts.write(options.work / "run", options.out)


if __name__ == "__main__":
    main()
