"""Fixtures of training's tests: a tiny card with twelve clips."""

import pytest

from tests.helpers import tiny
from tests.helpers.tiny_training import Material


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    folder = tmp_path_factory.mktemp("material")
    return Material(tiny.card(folder), tiny.manifest(folder, 12), folder)
