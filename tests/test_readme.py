"""The README's tables are generated, its figures exist."""

import re
import subprocess
import sys

from tests.conftest import REPOSITORY


def test_generated_tables_are_fresh() -> None:
    command = [sys.executable, str(REPOSITORY / "scripts" / "readme.py"), "--check"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr


def test_linked_files_exist() -> None:
    text = (REPOSITORY / "README.md").read_text()
    targets = re.findall(r"\]\(([^)#]+)\)", text)
    local = [target for target in targets if "://" not in target]
    assert local
    assert not [target for target in local if not (REPOSITORY / target).exists()]
