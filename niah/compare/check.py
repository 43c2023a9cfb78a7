"""The regression gate: each cell of a run against a reference.

References: another run, whose stored scores are paired with these (`niah.compare.check_run`); or published numbers
(`niah.compare.check_published`). `niah.compare.check_formats` writes a result for people and for continuous
integration.
"""

from collections.abc import Sequence
from pathlib import Path

from niah.compare.check_published import check_published
from niah.compare.check_result import CheckResult
from niah.compare.check_run import Gate, check_run
from niah.compare.stored_run import StoredRun
from niah.errors import NiahError

PUBLISHED = "published"
TOLERANCE = 0.005


def check(
    run_dir: Path | str,
    against: str | Path = PUBLISHED,
    *,
    tolerance: float = TOLERANCE,
    one_sided: bool = False,
    allow_missing: bool = False,
    unpaired: bool = False,
    models: Sequence[str] = (),
) -> CheckResult:
    """Compare the cells of the run in `run_dir` with published numbers or with another run's.

    Args:
        run_dir: a run directory.
        against: "published", a run directory, or a cells.csv with its run.json and scores beside it.
        tolerance: mAP that may differ.
        one_sided: only a loss fails.
        allow_missing: cells of the reference that the run lacks are skipped instead of failed.
        unpaired: compare the numbers of cells.csv, without scores or run.json.
        models: NAME or NAME@SHA256 of the run's systems to compare; none for all.

    Returns:
        One row a comparison, and the verdict.

    Raises:
        NiahError: either cannot be read, or they are not comparable; the message has the reason.
    """
    if not 0.0 <= tolerance < 1.0:
        raise NiahError(f"tolerance must be in [0, 1) but is {tolerance}: did you give per cent?")
    run = StoredRun(run_dir)
    run.refuse_unscored()
    if str(against) == PUBLISHED:
        return check_published(run, tolerance, models)
    if not Path(against).exists():
        raise NiahError(
            f"{against} is neither a run directory nor a cells.csv: give one of them, or 'published'"
        )
    gate = Gate(tolerance, one_sided, allow_missing, unpaired)
    reference = StoredRun(against)
    reference.refuse_unscored()
    return check_run(run, reference, gate, models)
