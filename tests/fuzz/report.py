"""Counts and faults as text."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from tests.fuzz.harness import Counts, Fault

KINDS = ("traceback", "slow", "hang", "crash", "wrote", "started")


def markdown(counts: Iterable[Counts]) -> str:
    """Return a table with a line a loader."""
    header = ("loader", "inputs", "accepted", "refused", *KINDS, "slowest (s)", "time (s)")
    lines = [header, ("---", *["---:"] * (len(header) - 1))]
    for each in counts:
        faults = [str(each.kinds[kind]) for kind in KINDS]
        numbers = (each.inputs, each.accepted, each.refused, *faults)
        lines.append(
            (each.loader, *map(str, numbers), f"{each.slowest_s:.2f}", f"{each.seconds:.0f}")
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def faults_text(faults: Sequence[Fault], most: int = 40) -> str:
    """Return the faults, those of one place once with how many there are; the last line of the detail is the place."""
    places: dict[tuple[str, str, str], list[Fault]] = defaultdict(list)
    for fault in faults:
        places[fault.loader, fault.kind, fault.detail.rpartition("\n")[2]].append(fault)
    ordered = sorted(places.values(), key=len, reverse=True)[:most]
    return "\n\n".join(
        f"{len(same)} x {same[0].loader} {same[0].kind}, input {same[0].index}: {same[0].detail}"
        for same in ordered
    )
