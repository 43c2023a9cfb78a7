"""A plugin of pytest: a row of a CSV for each test as it ends, so that a session cut off leaves what it found.

    python -m pytest -p tests.helpers.outcomes --outcomes FILE.csv ..

Columns: the test, its outcome (of its set-up or end, where those failed or skipped it), seconds, the first line of why.
"""

import csv
from pathlib import Path

import pytest

HEADER = ("test", "outcome", "seconds", "why")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--outcomes", type=Path, help="CSV with a row for each test as it ends")


def pytest_configure(config: pytest.Config) -> None:
    """Write from one process: that to which the workers of pytest-xdist report."""
    file = config.getoption("--outcomes")
    if file is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Outcomes(file))


class Outcomes:
    """The rows of one session."""

    def __init__(self, file: Path) -> None:
        self._file = file
        file.parent.mkdir(parents=True, exist_ok=True)
        self._write("w", HEADER)

    def _write(self, mode: str, row: tuple[str, ...]) -> None:
        with self._file.open(mode, newline="", encoding="utf-8") as stream:
            csv.writer(stream, lineterminator="\n").writerow(row)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or not report.passed:
            why = "" if report.passed else _why(report)
            self._write("a", (report.nodeid, report.outcome, f"{report.duration:.2f}", why))


def _why(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):  # skipped: file, line, reason
        return report.longrepr[2]
    crash = getattr(report.longrepr, "reprcrash", None)
    lines = str(crash.message if crash else report.longrepr).splitlines()
    return lines[0] if lines else ""
