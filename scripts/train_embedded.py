"""`make embedded`: train the models that are shipped, and put their weights beside their cards.

python scripts/train_embedded.py [NAME ...]
"""

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

from niah.cards import cards_folder
from niah.training.command import train_recipe

EMBEDDED = ("dass-nano", "ast-sin-nano", "ast-sin2d-nano", "aum-nano", "aum-stream-nano")
LARGEST_BYTES = 6_000_000
WORK = Path("runs/embedded")


def main(names: Sequence[str]) -> None:
    """Train each model, by default all, and copy its weights."""
    for name in names:
        weights = train_recipe(name, WORK / name, device="cpu")
        if weights.stat().st_size > LARGEST_BYTES:
            raise SystemExit(f"{weights} is larger than {LARGEST_BYTES} bytes: not shipped")
        target = cards_folder("models") / f"{name}.safetensors"
        shutil.copyfile(weights, target)
        print(f"{target}: put its last log line, {WORK / name / 'log.csv'}, into the card")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", default=EMBEDDED, help="a recipe's name"
    )
    main(parser.parse_args().names)
