"""Measure how often intervals hold the truth, and how often tests err, in simulated worlds: results/coverage.

    python scripts/interval_coverage.py                     all worlds and rates (a quarter of an hour), then the page
    python scripts/interval_coverage.py --worlds "few"      those whose names contain it, and no rates
    python scripts/interval_coverage.py --rates gate        those whose names contain it, and no worlds
    python scripts/interval_coverage.py --table             the tables of docs/intervals.md from the CSV files alone

Rows of the CSV files that are not measured stay. Each rate has its exact (Clopper-Pearson) 95 % interval.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from niah.metrics.proportion import proportion_interval  # noqa: E402
from tests.compare.gates import GATES, failed_gates, found_losses  # noqa: E402
from tests.metrics import coverage  # noqa: E402
from tests.metrics import test_recall_at_alarms as alarms  # noqa: E402
from tests.metrics.coverage import QUANTITIES, TABLES  # noqa: E402
from tests.metrics.worlds import WORLDS  # noqa: E402
from tests.pages.test_ranking import parted_rankings  # noqa: E402

PAGE, FOLDER = ROOT / "docs" / "intervals.md", ROOT / "results" / "coverage"
INTERVALS, RATES = FOLDER / "intervals.csv", FOLDER / "rates.csv"


def parted() -> int:
    with tempfile.TemporaryDirectory() as folder:
        return parted_rankings(Path(folder))


def recall(world: str) -> Callable[[], int]:
    return lambda: alarms.covered(world)[0]


# name: what is counted, of how many, and the simulation
RATE_OF: dict[str, tuple[str, int, Callable[[], int]]] = {
    "gate, another noise seed, two-sided": (
        "fails",
        GATES,
        lambda: failed_gates(one_sided=False)[0],
    ),
    "gate, another noise seed, one-sided": (
        "fails",
        GATES,
        lambda: failed_gates(one_sided=True)[0],
    ),
    "gate, a loss of .02 mAP at one cell": ("fails", GATES, found_losses),
    "ranking of four equal systems": ("parts two", 100, parted),
    **{
        f"two equal systems, {name}": (
            "p below 0.05",
            1000,
            partial(coverage.significant, name, differ=False, lists=1000),
        )
        for name in coverage.EQUAL
    },
    **{
        f"two systems that differ, {name}": (
            "p below 0.05",
            100,
            partial(coverage.significant, name, differ=True, lists=100),
        )
        for name in coverage.EQUAL
    },
    **{
        f"drop, {number} recordings of five": (
            "interval holds it",
            coverage.FEW_LISTS,
            partial(coverage.held_with_recordings, number),
        )
        for number in coverage.FEW_RECORDINGS
    },
    **{
        f"adjusted share, 10 s score {score}": (
            "interval holds it",
            coverage.SHOWN,
            partial(coverage.held_near_chance, gain),
        )
        for score, gain in coverage.NEAR_CHANCE.items()
    },
    "hit rate, one recording of two thirds of the pairs": (
        "interval holds it",
        coverage.UNEVEN_LISTS,
        coverage.held_hit_rate,
    ),
    "L50 of a model that fades": (
        "interval holds it",
        coverage.FADING_LISTS,
        coverage.held_effective_length,
    ),
    "near the top, 80 x 10, .9995": ("10 s list is perfect", 1200, coverage.perfect_lists),
    **{
        f"recall at false alarms, {name}": ("interval holds it", alarms.LISTS, recall(name))
        for name in alarms.STRENGTHS
    },
}


def with_interval(count: int, trials: int) -> dict[str, object]:
    low, high = proportion_interval(count, trials)
    return {
        "of": trials,
        "count": count,
        "rate": round(count / trials, 4),
        "lo": round(low, 4),
        "hi": round(high, 4),
    }


def write(
    path: Path, rows: list[dict[str, object]], keys: list[str], order: Sequence[tuple[str, ...]]
) -> None:
    """Replace the rows of the same keys."""
    new = pd.DataFrame(rows)
    if path.is_file():
        old = pd.read_csv(path)
        known = set(new[keys].itertuples(index=False, name=None))
        kept = [key not in known for key in old[keys].itertuples(index=False, name=None)]
        new = pd.concat([old[kept], new])
    place = {key: index for index, key in enumerate(order)}
    new["place"] = [place[key] for key in new[keys].itertuples(index=False, name=None)]
    new.sort_values("place").drop(columns="place").to_csv(path, index=False, lineterminator="\n")


def further_places() -> list[tuple[str, str]]:
    return [("further lists", world) for world in coverage.FURTHER]


def measure_world(table: str, world: str, first: int, trials: int) -> None:
    counts = coverage.held(world, first, trials)
    rows: list[dict[str, object]] = [
        {"lists": table, "world": world, "quantity": quantity, **with_interval(int(count), trials)}
        for quantity, count in zip(QUANTITIES, counts, strict=True)
    ]
    places = [*((table, world) for table in TABLES for world in WORLDS), *further_places()]
    order = [(*place, quantity) for place in places for quantity in QUANTITIES]
    write(INTERVALS, rows, ["lists", "world", "quantity"], order)
    print(table, world, [row["rate"] for row in rows], flush=True)


def measure_rate(name: str) -> None:
    event, trials, simulate = RATE_OF[name]
    row: dict[str, object] = {
        "simulation": name,
        "event": event,
        **with_interval(simulate(), trials),
    }
    write(RATES, [row], ["simulation"], [(each,) for each in RATE_OF])
    print(row, flush=True)


def table_of(measured: pd.DataFrame) -> str:
    """Return the Markdown rows of one table of the page."""
    lines = [f"| world | {' | '.join(QUANTITIES)} |", f"| --- {'| --- ' * len(QUANTITIES)}|"]
    for world in WORLDS:
        rates = measured[measured["world"] == world].set_index("quantity")["rate"]
        cells = (f"{rates[quantity]:.3f}".removeprefix("0") for quantity in QUANTITIES)
        lines.append(f"| {world} | {' | '.join(cells)} |")
    return "\n".join(lines)


def rates_table() -> str:
    """Return the Markdown table of the error rates, without those that have a page of their own."""
    lines = ["| simulation | counted | rate | 95 % interval |", "| --- | --- | --- | --- |"]
    rows: list[Any] = list(pd.read_csv(RATES).itertuples())
    for row in rows:
        if row.simulation.startswith(("gate", "ranking", "two")):
            bounds = f"[{100 * row.lo:.1f}, {100 * row.hi:.1f}]"
            counted = f"{row.event}: {row.count} of {row.of}"
            lines.append(f"| {row.simulation} | {counted} | {100 * row.rate:.1f} % | {bounds} |")
    return "\n".join(lines)


def write_page() -> None:
    text, measured = PAGE.read_text("utf-8"), pd.read_csv(INTERVALS)
    tables = {table: table_of(measured[measured["lists"] == table]) for table in TABLES}
    for name, table in {**tables, "rates": rates_table()}.items():
        before, begin, rest = text.partition(
            f"<!-- table: scripts/interval_coverage.py, {name} -->\n"
        )
        after = rest[rest.index("<!-- end of table -->") :]
        text = f"{before}{begin}\n{table}\n\n{after}"
    PAGE.write_text(text, "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--worlds", help="a part of their names")
    parser.add_argument("--rates", help="a part of their names")
    parser.add_argument("--table", action="store_true", help="write the page alone")
    asked = parser.parse_args()
    every = asked.worlds is None and asked.rates is None and not asked.table
    coverage.serial(setattr)
    for world in WORLDS:
        if every or (asked.worlds is not None and asked.worlds in world):
            for table, first in TABLES.items():
                measure_world(table, world, first, coverage.lists_of(world)[0])
            if world in coverage.FURTHER:
                measure_world("further lists", world, *coverage.FURTHER[world])
    for name in RATE_OF:
        if every or (asked.rates is not None and asked.rates in name):
            measure_rate(name)
    if every or asked.table:
        write_page()


if __name__ == "__main__":
    main()
