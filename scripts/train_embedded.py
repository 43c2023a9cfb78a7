"""`make embedded`: train the models that are shipped, and put their weights beside their cards.

python scripts/train_embedded.py [NAME ...]
"""

import shutil
import sys
from pathlib import Path

from niah.cards import cards_folder
from niah.training.command import train_recipe

EMBEDDED = ("dass-nano", "ast-sin-nano", "ast-sin2d-nano", "aum-nano")
LARGEST_BYTES = 6_000_000
WORK = Path("runs/embedded")


def main(names: list[str]) -> None:
    for name in names or EMBEDDED:
        weights = train_recipe(name, WORK / name, device="cpu")
        if weights.stat().st_size > LARGEST_BYTES:
            raise SystemExit(f"{weights} is larger than {LARGEST_BYTES} bytes: not shipped")
        target = cards_folder("models") / f"{name}.safetensors"
        shutil.copyfile(weights, target)
        print(f"{target}: put its last log line, {WORK / name / 'log.csv'}, into the card")


if __name__ == "__main__":
    main(sys.argv[1:])
