"""Skipped tests, counted by reason; in CI only those are allowed that no set-up of `.ci/run` could have run."""

import os
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest

SKIPPED = pytest.StashKey[list[str]]()
ALLOWED = (
    r"needs the developers' folder",  # beside the checkout, of a stranger's clone there is none
    r"needs a (CUDA device|machine with \d+ GiB|peer)",
    r"needs (mamba-ssm|an unpacked mamba-ssm)",
    r"could not import '(mamba_ssm|speechbrain|einops|triton)",  # not installable everywhere
    r"(is for|on) Linux( alone)?$|holds on Linux alone|macOS ",
    r"a full disk needs a small tmpfs",  # a container without the right to mount one
    r"it is installed",
)


def in_ci() -> bool:
    """Return whether nothing may be passed over (`CI=true`, as `.ci/run` and GitHub set it)."""
    return os.environ.get("CI", "").lower() in ("1", "true")


def counted(reasons: Iterable[str]) -> list[str]:
    """Return a line a reason, "12 x needs a CUDA device", the most frequent first."""
    plain = (reason.removeprefix("Skipped: ") for reason in reasons)
    return [f"{count} x {reason}" for reason, count in Counter(plain).most_common()]


def unexpected(reasons: Iterable[str]) -> list[str]:
    """Return the reasons that no machine of CI may have."""
    plain = {reason.removeprefix("Skipped: ") for reason in reasons}
    return sorted(each for each in plain if not any(re.search(p, each) for p in ALLOWED))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Count the skipped tests by reason; in CI a reason that is not allowed fails the session."""
    reporter: Any = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or hasattr(session.config, "workerinput"):
        return
    reasons = [str(report.longrepr[2]) for report in reporter.stats.get("skipped", [])]
    session.config.stash[SKIPPED] = reasons
    if in_ci() and unexpected(reasons):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the counts, and what may not be skipped in CI."""
    reasons = config.stash.get(SKIPPED, [])
    for line in counted(reasons):
        terminalreporter.write_line(f"skipped: {line}")
    for reason in unexpected(reasons) if in_ci() else ():
        terminalreporter.write_line(f"not allowed in CI: {reason}", red=True)
