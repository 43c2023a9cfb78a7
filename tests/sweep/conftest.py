"""Fixtures of the sweep's tests: the tiny model with its clips, and a finished run of it."""

from pathlib import Path

import pytest

from tests.helpers.tiny_sweep import Material


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return Material.make(tmp_path_factory.mktemp("material"))


@pytest.fixture(scope="session")
def done(material: Material) -> Path:
    """A finished run; tests that change it copy it first."""
    out = material.folder / "done"
    material.run(out)
    return out
