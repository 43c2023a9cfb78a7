"""Copy the clips of the sweep, and nothing else, with manifests of them.

    python scripts/gpu/collect.py DATA OUT

DATA is the `data` folder of the developers' shared material; OUT gets the same layout with ESC-10's clips, the
instruments and the babble file, which is what `clips.py` and `run.sh` read.
"""

import csv
import shutil
import sys
from pathlib import Path


def copy_rows(manifest: Path, out: Path, column: str = "", value: str = "") -> int:
    """Copy a manifest's rows (those whose `column` is `value`, where one is named) and their files; return how many."""
    with manifest.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        rows = [row for row in reader if not column or row[column] == value]
        names = reader.fieldnames or ()
    out.mkdir(parents=True, exist_ok=True)
    with (out / manifest.name).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    for row in rows:
        target = out / row["path"]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(manifest.parent / row["path"], target)
    return len(rows)


def main(data: Path, out: Path) -> None:
    """Copy from DATA to OUT."""
    n_esc10 = copy_rows(data / "esc50" / "manifest.csv", out / "esc50", "esc10", "True")
    n_instruments = copy_rows(data / "instruments" / "manifest.csv", out / "instruments")
    (out / "babble").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(data / "babble" / "babble_all.wav", out / "babble" / "babble_all.wav")
    print(f"{out}: {n_esc10} clips of ESC-10, {n_instruments} of instruments, babble_all.wav")


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:3]))
