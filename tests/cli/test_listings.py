"""Help, version and listings; commands that only read runs do without torch."""

import subprocess
import sys
from pathlib import Path

import pytest

from niah.version import __version__
from tests.helpers import tiny
from tests.helpers.command_line import Material, Niah


def test_niah_alone_shows_the_commands(niah: Niah) -> None:
    answer = niah()
    assert answer.status == 0
    assert "preview" in answer.stdout
    assert answer.stderr == ""


def test_the_version_is_told(niah: Niah) -> None:
    assert niah("--version").stdout == f"niah {__version__}\n"


def test_the_help_of_run_has_the_usual_options_first(niah: Niah) -> None:
    shown = niah("run", "--help").stdout
    places = [
        shown.index(text) for text in ("--model  ", "--lengths  ", "--checkpoint  ", "--dtype  ")
    ]
    assert places == sorted(places)
    groups = ("Models", "Needles", "Scenes", "Sliding windows", "How it is run", "Further axes")
    assert all(group in shown for group in groups)


def test_the_listings_list_what_there_is(niah: Niah) -> None:
    models, haystacks = niah("models").stdout, niah("haystacks").stdout
    for name in ("dass-small", "dass-medium", "ast-interp", "dass-nano"):
        assert name in models
    for name in ("zero", "silence", "gaussian", "babble-official"):
        assert name in haystacks
    shown = niah("models", "show", "dass-medium").stdout
    assert "arXiv:2407.04082" in shown


WITHOUT_TORCH = """
import sys
from niah.cli import main
for arguments in {commands!r}:
    sys.argv = ["niah", *arguments]
    try:
        main()
    except SystemExit as stop:
        assert not stop.code, (arguments, stop.code)
    heavy = {{"torch", "timm", "librosa", "numba", "transformers", "onnxruntime"}} & set(sys.modules)
    assert not heavy, (arguments, heavy)
"""


@pytest.fixture(scope="module")
def finished(material: Material) -> Path:
    import niah

    out = material.folder / "finished"
    niah.run(
        models=str(material.card),
        checkpoint=str(material.weights),
        needles=str(material.clips),
        haystack="zero",
        lengths=[10, 12],
        device="cpu",
        out=out,
    )
    return out


def test_reading_runs_never_imports_torch(finished: Path, cache: Path, tmp_path: Path) -> None:
    run = str(finished)
    commands = [["report", run], ["check", run, "--against", run], ["compare", run, run]]
    commands += [["leaderboard", run, "--out", str(tmp_path / "site")]]
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH.format(commands=commands)],
        env=tiny.environment(cache),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "site" / "index.html").is_file()
