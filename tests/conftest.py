"""What several tests share: a cache of their own, and the development material beside the checkout."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

if not torch.cuda.is_available():  # before anything imports triton: its kernels then run on the CPU
    os.environ.setdefault("TRITON_INTERPRET", "1")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty cache for the tests, so that they neither read nor fill the user's."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NIAH_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with goldens and labelled audio: `$NIAH_SHARED`, else `shared/` beside the checkout.

    A stranger's clone has none, and the tests that need it say so instead of passing silently.
    """
    for candidate in (os.environ.get("NIAH_SHARED"), REPOSITORY.parent / "shared"):
        if candidate and (Path(candidate) / "golden").is_dir():
            return Path(candidate)
    pytest.skip("needs the developers' shared folder (goldens, audio): set NIAH_SHARED to it")
