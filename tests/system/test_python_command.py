"""A process of this package imports what this one does, and nothing from the working folder."""

import subprocess
import sys
from pathlib import Path

import pytest

from niah.system.python_command import python_command


def test_the_import_path_is_this_process_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "shown.py").write_text(
        "import random, sys\nif __name__ == '__main__':\n    print(random.__file__, *sys.argv[1:])\n"
    )
    (tmp_path / "random.py").write_text("raise SystemExit('the user's own module')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "elsewhere")])
    command = python_command("shown", "a b", "")
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert printed.endswith("random.py a b \n")
    assert not printed.startswith(str(tmp_path))
