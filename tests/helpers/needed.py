"""Programs that a test needs and the machine may lack."""

from typing import NoReturn

import pytest

from tests.helpers.skips import in_ci


def missing(reason: str) -> NoReturn:
    """Fail in CI (`CI=true`), whose `.ci/run` installs what the tests need; skip on anyone's own machine."""
    if in_ci():
        pytest.fail(f"{reason} (skipped where CI is not set)", pytrace=False)
    pytest.skip(reason)
