"""The scripts for a lent GPU, which get one try: what fails there takes nothing else with it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from niah.cards import model_cards
from tests.conftest import REPOSITORY
from tests.helpers.scripts import imported


def test_a_golden_that_fails_is_a_row_and_the_next_follows(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with imported("gpu", "goldens") as modules:
        rows = list(modules["goldens"].rows("cpu", ["float99", "float32"], ["dass-nano"]))
    assert [row["ok"] for row in rows] == [False, True]
    assert "float99" in rows[0]["error"]
    assert float(rows[1]["error"]) == 0
    assert "Traceback" in capsys.readouterr().err


def test_every_network_is_compared_on_a_device() -> None:
    adapters = {card.name: card.adapter.rpartition(":")[2] for card in model_cards()}
    with imported("gpu", "goldens") as modules:
        compared = {*modules["goldens"].GOLDENS.values(), *modules["goldens"].OTHERS}
    left = {*adapters.values()} - {adapters[name] for name in compared}
    assert left == {"Onnx", "Cnn14At16k"}  # no network of ours, and Cnn14 behind another front end


@pytest.mark.parametrize("absolute", [True, False])
def test_what_was_prepared_may_lie_anywhere(tmp_path: Path, absolute: bool) -> None:
    script = tmp_path / "scripts" / "gpu" / "run.sh"
    script.parent.mkdir(parents=True)
    shutil.copyfile(REPOSITORY / "scripts" / "gpu" / "run.sh", script)
    prepared = tmp_path / "prepared"
    (prepared / "golden").mkdir(parents=True)
    given = str(prepared) if absolute else "prepared"
    done = subprocess.run(
        ["bash", str(script), "env"],  # in the place of a stage
        env={**os.environ, "PREPARED": given, "DRY": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert f"NIAH_SHARED={prepared}" in done.stdout.splitlines()
