"""Help, version and listings; commands that only read runs do without torch."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from niah.cli.messages import note
from niah.system.progress import progress_bar
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


@pytest.mark.parametrize(
    "command", ["bench", "causes", "locate", "preview", "train", "run", "scenes"]
)
def test_commands_of_many_options_group_them(niah: Niah, command: str) -> None:
    """No group is long: the usual options come first, the others below their headings."""
    shown = niah(command, "--help").stdout
    boxes = re.findall(r"^╭─ (.*?) ─.*?$(.*?)^╰", shown, flags=re.MULTILINE | re.DOTALL)
    groups = {title: len(re.findall(r"^│\s+\*?\s*--\w", box, re.MULTILINE)) for title, box in boxes}
    assert len(groups) >= 2, groups
    assert max(groups.values()) <= 10, groups
    assert next(iter(groups)) in ("Arguments", "Options")


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


def test_json_is_what_the_listings_say(niah: Niah) -> None:
    models = json.loads(niah("models", "--json").stdout)
    listed = niah("models").stdout
    assert len(models) > 50
    assert all(model["name"] in listed for model in models)
    (nano,) = (model for model in models if model["name"] == "dass-nano")
    assert nano["weights"][0]["here"] is True
    assert nano["parameters"] > 500_000
    haystacks = json.loads(niah("haystacks", "--json").stdout)
    assert {each["name"] for each in haystacks} >= {"zero", "silence", "gaussian", "babble"}


def test_json_of_a_check_and_a_report(
    niah: Niah, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = shutil.copytree(tiny.REPOSITORY / "results" / "gate", tmp_path / "gate")
    answer = niah("check", run, "--against", tiny.REPOSITORY / "results" / "gate", "--json")
    checked = json.loads(answer.stdout)
    assert (answer.status, checked["ok"]) == (0, True)
    assert {each["verdict"] for each in checked["comparisons"]} == {"ok"}
    assert all(each["difference"] == 0 for each in checked["comparisons"])
    monkeypatch.delenv("NIAH_FIGURES")  # as for a user
    reported = json.loads(niah("report", run, "--json").stdout)
    assert len(reported["cells"]) == 6
    assert all(Path(path).is_file() for path in (reported["report"], *reported["tables"]))
    assert [Path(path).name for path in reported["figures"]] == ["length-zero.png"]
    drawn = {path.name for path in (run / "figures").iterdir()}
    assert drawn == {f"length-zero.{kind}" for kind in ("png", "svg", "pdf")}


def test_quiet_says_results_and_errors_only_and_verbose_more(
    niah: Niah, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    gate = tiny.REPOSITORY / "results" / "gate"
    answer = niah("--quiet", "leaderboard", gate, "--out", tmp_path)
    assert (answer.status, answer.stderr) == (0, "")
    assert "page" in answer.stdout
    capfd.readouterr()
    note("hidden")  # the choice holds for this process
    assert capfd.readouterr().err == ""
    assert progress_bar().disable
    assert niah("leaderboard", gate, "--out", tmp_path).status == 0
    note("shown")
    assert capfd.readouterr().err == "note: shown\n"
    assert niah("-q", "report", tmp_path / "none").refusal()
    answer = niah("--verbose", "report", tmp_path / "none")
    assert answer.status == 2
    assert "Traceback" in answer.stderr
    assert answer.stderr.splitlines()[-1].startswith("niah: ")
    assert "exclude each other" in niah("-q", "-v", "haystacks").refusal()
    assert niah("report", tmp_path / "none").refusal()  # as before


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("niah ver", ["verify"]),
        ("niah run --model dass-n", ["dass-nano"]),
        ("niah run --haystack si", ["silence"]),
    ],
)
def test_shells_complete_commands_and_names(
    niah: Niah, monkeypatch: pytest.MonkeyPatch, typed: str, offered: list[str]
) -> None:
    monkeypatch.setenv("_NIAH_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split()) - 1))
    assert niah().stdout.split() == offered


def test_file_types_of_figures_are_checked_before_anything_runs(
    niah: Niah, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIAH_FIGURES", "gif")
    refusal = niah("run", "--out", tmp_path / "out").refusal()
    assert refusal == "NIAH_FIGURES must be png (no SVG and PDF) or not be set, but is 'gif'"
    assert not (tmp_path / "out").exists()
