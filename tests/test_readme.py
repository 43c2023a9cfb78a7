"""The README's tables are generated, its figures exist."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from niah.pages import leaderboard
from tests.conftest import REPOSITORY

SCRIPT = REPOSITORY / "scripts" / "readme.py"


def test_generated_tables_are_fresh() -> None:
    command = [sys.executable, str(SCRIPT), "--check"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr


def test_a_stale_table_is_found() -> None:
    rendered = runpy.run_path(str(SCRIPT))["rendered"]
    text = (REPOSITORY / "README.md").read_text()
    assert rendered(text.replace("| dass-nano |", "| dass-giga |", 1)) == text
    with pytest.raises(SystemExit, match="has no part between"):
        rendered(text.replace("<!-- end of results -->", ""))


def test_the_results_table_is_the_leaderboards(tmp_path: Path) -> None:
    leaderboard.write([REPOSITORY / "results" / "embedded"], tmp_path)
    text = (REPOSITORY / "README.md").read_text()
    part = text.partition("<!-- results: scripts/readme.py -->")[2].partition("<!-- end")[0]
    assert part.count("| dass-nano |") == 3
    assert part.strip() in (tmp_path / "leaderboard.md").read_text()


def test_linked_files_exist() -> None:
    text = (REPOSITORY / "README.md").read_text()
    targets = re.findall(r"\]\(([^)#]+)\)", text)
    local = [target for target in targets if "://" not in target]
    assert local
    assert not [target for target in local if not (REPOSITORY / target).exists()]
