"""NIAH_FIGURES: its one value, and any other refused."""

import pytest

from niah.errors import NiahError
from niah.system.figure_files import wants_columns


def test_only_known_values_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, columns in (("", True), ("png", False), ("PNG", False)):
        monkeypatch.setenv("NIAH_FIGURES", value)
        assert wants_columns() == columns
    monkeypatch.setenv("NIAH_FIGURES", "gif")
    with pytest.raises(NiahError, match=r"must be png .* but is 'gif'"):
        wants_columns()
