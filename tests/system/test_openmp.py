"""The command line shortens the spinning of torch's threads before torch is there, unless the user has set it."""

import os
import subprocess
import sys

import pytest

SHOW = """
import os, sys
from niah.cli import main
sys.argv = ["niah", "--version"]
try:
    main()
except SystemExit:
    pass
print("torch" in sys.modules, os.environ.get("GOMP_SPINCOUNT"))
"""


@pytest.mark.parametrize(
    ("own", "spins"),
    [({}, "20000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")],
)
def test_spins_are_few_unless_set(own: dict[str, str], spins: str) -> None:
    inherited = {
        k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    }
    shown = subprocess.run(
        [sys.executable, "-c", SHOW],
        env=inherited | own,
        check=True,
        capture_output=True,
        text=True,
    )
    assert shown.stdout.splitlines()[-1] == f"False {spins}"
