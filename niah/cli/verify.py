"""`niah verify`."""

from pathlib import Path
from typing import Annotated

import typer

from niah.cli.messages import fail
from niah.system.plurals import plural


def verify(directory: Annotated[Path, typer.Argument(help="A run directory.")]) -> None:
    """Say what of a run is whole, damaged, unfinished, foreign or of other versions; compute its metrics again.

    The exit status is 1 where a cell is damaged or has other metrics than its scores give. Nothing is written.
    """
    from niah.records.verify import verify as verify_run

    verdict = verify_run(directory)
    kinds = ("damaged", "metrics", "unfinished", "foreign", "versions")
    for kind in kinds:
        for each in getattr(verdict, kind):
            print(f"{kind:<12}{each}")
    counts = [f"{plural(verdict.whole, 'cell')} whole"]
    counts += [f"{verdict.failed} with a reason instead of scores"] if verdict.failed else []
    counts += [f"{len(verdict.damaged)} damaged"] if verdict.damaged else []
    differ = len(verdict.metrics)
    counts.append(
        f"metrics of {verdict.recomputed} computed again, "
        + (f"{plural(differ, 'value')} differ" if differ else "all equal")
    )
    print("; ".join(counts))
    if verdict.metrics and not verdict.damaged:
        fail(
            f"{directory} has other metrics than its scores give: those of another version of niah are computed again "
            "by `niah report`",
            status=1,
        )
    if not verdict.is_good:
        fail(f"{directory} is not whole: the same `niah run` makes damaged cells again", status=1)
