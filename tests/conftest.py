"""What several tests share: the development material beside the checkout, and a small thread count."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with goldens and labelled audio: `$NIAH_SHARED`, else `shared/` beside the checkout.

    A stranger's clone has none, and the tests that need it say so instead of passing silently.
    """
    for candidate in (os.environ.get("NIAH_SHARED"), REPOSITORY.parent / "shared"):
        if candidate and (Path(candidate) / "golden").is_dir():
            return Path(candidate)
    pytest.skip("needs the developers' shared folder (goldens, audio): set NIAH_SHARED to it")
