"""Write results/yamnet-esc50/length.csv: what 2.5 h cost YAMNet in each haystack, clip by clip, corrected together.

    python scripts/yamnet_length.py

The difference of mAP between 2.5 h and 10 s in the same noise (of silence and zeros: the clip alone), recordings drawn
as a whole, with its 95 % interval, p-value, and Holm's over all lines. It reads stored scores, which lie beside the
cells where `scripts/yamnet.sh` has run.
"""

import csv
from itertools import product
from pathlib import Path

from niah.compare.differences import difference
from niah.metrics.multiple_testing import adjusted
from niah.metrics.resampling import resample
from niah.records.naming import NO_HAYSTACK, Point
from niah.records.run_directory import RunDirectory
from niah.records.schema import BASE_LENGTH_S
from niah.tables.curves import points

FOLDER = Path(__file__).resolve().parent.parent / "results" / "yamnet-esc50"
LONGEST_S = 9000.0
POOLINGS = ("mean-probability", "max")
SNRS_DB = (20.0, 10.0, 0.0)
NOISES = ("babble", "coffee_shop", "gaussian")
COLUMNS = (
    *("pooling", "haystack", "snr_db", "mAP_long", "mAP_short", "difference"),
    *("difference_lo", "difference_hi", "p", "p_holm"),
)
SCENES = (("silence", None), ("zero", None), *product(NOISES, SNRS_DB))


def main() -> None:
    run = RunDirectory(FOLDER / "niah-v2.1")
    cells = [
        point
        for point in points(run.cells())
        if point["model"] == "yamnet" and not point.get("control")
    ]
    lines, p_values = [], []
    for pooling, (haystack, snr_db) in product(POOLINGS, SCENES):
        own = [point for point in cells if point["pooling"] == pooling]
        short = run.read_scores(_cell(own, NO_HAYSTACK if snr_db is None else haystack, snr_db))
        long = run.read_scores(_cell(own, haystack, snr_db, LONGEST_S))
        assert short.ids == long.ids
        scores = resample(long.targets, [long.ranked, short.ranked], groups=long.groups)
        delta = difference(*scores)
        low, high = delta.interval()
        values = (*(each.estimate for each in scores), delta.estimate, low, high)
        lines.append((pooling, haystack, snr_db, *(round(value, 5) for value in values)))
        p_values.append(delta.p_value())
    with (FOLDER / "length.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for line, p, holm in zip(lines, p_values, adjusted(p_values), strict=True):
            table.writerow((*line, f"{p:.4g}", f"{holm:.4g}"))


def _cell(
    cells: list[Point], haystack: str, snr_db: float | None, length_s: float = BASE_LENGTH_S
) -> str:
    (cell,) = {
        point["cell"]
        for point in cells
        if (point["haystack"], point["length_s"]) == (haystack, length_s)
        and point["snr_db"] == snr_db
        and point["position"] in (None, 0.5)
    }
    return str(cell)


if __name__ == "__main__":
    main()
