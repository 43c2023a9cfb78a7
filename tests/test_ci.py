"""Continuous integration: what `.ci/run` runs, and that nothing is passed over there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import REPOSITORY
from tests.helpers.browser import NAMES
from tests.helpers.needed import missing

RUN = REPOSITORY / ".ci" / "run"
BROWSER = REPOSITORY / ".ci" / "browser"


def test_ci_runs_then_lints_then_tests() -> None:
    """`make run` leaves a folder runs/ in the checkout, which ruff once took for a package."""
    lines = map(str.strip, RUN.read_text("utf-8").splitlines())
    targets = [line.split()[1:] for line in lines if line.startswith("make ")]
    assert [words[0] for words in targets[:2]] == ["run", "lint"]
    assert targets[1] == ["lint", "test"]
    assert {words[0] for words in targets[2:-1]} <= {"test-slow"}
    assert targets[-1][:2] == ["test", "VENV=.venv-newest"]
    assert "export CI=true" in RUN.read_text("utf-8")
    for script in RUN.parent.iterdir():
        assert os.access(script, os.X_OK)
        called = re.search(
            rf"^\.ci/{script.name}$|\$\(\.ci/{script.name}\)", RUN.read_text("utf-8"), re.MULTILINE
        )
        assert script == RUN or called


def test_a_folder_of_runs_in_the_checkout_changes_no_lint(tmp_path: Path) -> None:
    """The scripts of results/nano have a module `runs`, which must not be taken for that folder."""
    (tmp_path / "runs" / "default").mkdir(parents=True)
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    for folder in ("scripts", "benchmarks"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder)
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "--select", "I", "."]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout


def test_github_runs_the_same_script() -> None:
    workflow = yaml.safe_load((REPOSITORY / ".github/workflows/ci.yml").read_text("utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    commands = [step["run"] for step in workflow["jobs"]["check"]["steps"] if "run" in step]
    assert commands == [".ci/run"]


@pytest.mark.parametrize(
    ("value", "outcome"), [("true", "Failed"), ("1", "Failed"), ("", "Skipped"), (None, "Skipped")]
)
def test_what_is_missing_fails_in_ci_and_is_skipped_elsewhere(
    monkeypatch: pytest.MonkeyPatch, value: str | None, outcome: str
) -> None:
    monkeypatch.delenv("CI", raising=False)
    if value is not None:
        monkeypatch.setenv("CI", value)
    with pytest.raises(BaseException, match="needs a harp") as caught:
        missing("needs a harp")
    assert type(caught.value).__name__ == outcome


def install_browser(tmp_path: Path, *, user: int, programs: dict[str, str]) -> tuple[str, str]:
    """Run .ci/browser on a machine that has `programs` only; return its output and what apt-get was called with."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("bash", "head", "grep", "env"):
        found = subprocess.check_output(["/bin/sh", "-c", f"command -v {name}"], text=True).strip()
        (folder / name).symlink_to(found)
    for name, body in {"id": f"echo {user}", **programs}.items():
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)
    log = tmp_path / "apt.log"
    ran = subprocess.run(
        [folder / "bash", BROWSER],
        env={"PATH": str(folder), "LOG": str(log), "BIN": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout, log.read_text() if log.exists() else ""


# What apt-get does here: note its arguments, and put a browser on the path when asked to install.
APT = 'echo "$@" >> "$LOG"; case "$1" in install) echo "#!/bin/sh" > "$BIN/chromium"; '
APT += 'PATH=/bin:/usr/bin chmod +x "$BIN/chromium";; esac'


@pytest.mark.skipif(
    Path("/Applications").is_dir(), reason="macOS may have Chrome as an application"
)
@pytest.mark.parametrize(
    ("user", "programs", "expected", "installs"),
    [
        (0, {"apt-get": APT}, "installing Chromium", True),
        (1000, {"apt-get": APT, "sudo": 'shift; "$@"'}, "installing Chromium", True),
        (1000, {"apt-get": APT}, "no right to install", False),
        (1000, {"apt-get": APT, "sudo": "exit 1"}, "no right to install", False),
        (0, {}, "no apt-get", False),
        (1000, {"google-chrome": "", "apt-get": APT}, "/google-chrome\n", False),
    ],
)
def test_chromium_is_installed_where_it_is_missing_and_may_be(
    tmp_path: Path, user: int, programs: dict[str, str], expected: str, installs: bool
) -> None:
    output, calls = install_browser(tmp_path, user=user, programs=programs)
    assert expected in output
    assert ("install -y" in calls) == installs
    assert (str(tmp_path / "bin" / "chromium") in output) == installs


def test_ci_looks_for_the_browsers_that_the_tests_use() -> None:
    names = re.search(r"^names=\((.*)\)$", BROWSER.read_text("utf-8"), flags=re.MULTILINE)
    assert names is not None
    assert tuple(names.group(1).split()) == NAMES


def test_a_skip_for_want_of_a_program_fails_in_ci(tmp_path: Path) -> None:
    """In a session of its own, with the hooks of the suite: allowed reasons are counted, others fail."""
    (tmp_path / "conftest.py").write_text(
        "from tests.helpers.skips import pytest_sessionfinish, pytest_terminal_summary\n"
    )
    (tmp_path / "test_x.py").write_text(
        "import pytest\n"
        "def test_a() -> None: pytest.skip('needs a CUDA device')\n"
        "@pytest.mark.skipif('config.getoption(\"-k\") == \"\"', reason='needs a harp')\n"
        "def test_b() -> None: ...\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    for further, value, status in ((["-k", "test_a"], "true", 0), ([], "true", 1), ([], "", 0)):
        own = {"CI": value, "PYTHONPATH": str(REPOSITORY), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        ran = subprocess.run(
            [*command, "--rootdir", str(tmp_path), "-c", os.devnull, *further],
            cwd=tmp_path,
            env={**os.environ, **own},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == status, ran.stdout + ran.stderr
        assert "skipped: 1 x needs a CUDA device" in ran.stdout
        assert ("not allowed in CI: needs a harp" in ran.stdout) == (status == 1)


def test_the_pages_are_built_by_make_and_deployed_from_main_alone() -> None:
    workflow = yaml.safe_load((REPOSITORY / ".github/workflows/pages.yml").read_text("utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow[True]["push"] == {"branches": ["main"]}  # YAML 1.1 reads "on" as true
    commands = [step["run"] for step in workflow["jobs"]["build"]["steps"] if "run" in step]
    assert commands[0] == "make docs"
    assert "for rows in results/*/cells" in commands[1]
    assert "niah verify" in commands[1]
    verified = {path.parent.name for path in (REPOSITORY / "results").glob("*/cells")}
    assert verified == {"embedded", "gate"}
    assert commands[2].endswith("niah leaderboard results --out build/docs/site/leaderboard")
    assert workflow["jobs"]["deploy"]["permissions"] == {"pages": "write", "id-token": "write"}
