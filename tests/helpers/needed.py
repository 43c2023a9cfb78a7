"""Programs that a test needs and the machine may lack."""

import os
from typing import NoReturn

import pytest


def missing(reason: str) -> NoReturn:
    """Fail in CI (`CI=true`), whose `.ci/run` installs what the tests need; skip on anyone's own machine."""
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(f"{reason} (skipped where CI is not set)", pytrace=False)
    pytest.skip(reason)
