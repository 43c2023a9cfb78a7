"""Distributions: pinned requirements, a wheel with its data, commands that work."""

import importlib.metadata
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))
HEAVY = ("torch", "timm", "librosa", "matplotlib", "numba", "pandas", "sklearn")
# Written in two parts so that this file does not contain what it looks for.
INDEX_HOSTS = ("pypi" + ".org", "python" + "hosted.org")
LISTINGS = (
    *("--help", "models", "models show dass-nano", "haystacks"),
    *("run --help", "report --help", "check --help", "leaderboard --help"),
)
DATA = {
    "models": ("niah/cards/models", ".toml"),
    "haystacks": ("niah/cards/haystacks", ".toml"),
    "presets": ("niah/cards/published/presets", ".toml"),
    "weights": ("niah/cards/models", ".safetensors"),
    "vocabularies": ("niah/vocabularies", ".csv"),
    "published": ("niah/cards/published", ".csv"),
    "templates": ("niah/pages/templates", ".html"),
    "page styles": ("niah/pages/templates", ".css"),
    "leaderboard scripts": ("niah/pages/leaderboard/static", ".js"),
    "needle sets": ("niah/needles", ".toml"),
}


def in_repository(packaged: str) -> str:
    """Where a path inside the package comes from."""
    moved = packaged.replace("niah/cards/published", "results/published")
    return moved.removeprefix("niah/cards/")


def pins(name: str) -> Iterator[tuple[Requirement, int]]:
    """Each requirement of requirements/`name`.txt with its number of hashes."""
    text = (REPOSITORY / "requirements" / f"{name}.txt").read_text("utf-8")
    text = re.sub(r"^\s*#.*\n?", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    for line in filter(str.strip, text.splitlines()):
        requirement, *hashes = line.split(" --hash=sha256:")
        yield Requirement(requirement), len(hashes)


def versions(name: str) -> set[tuple[str, str, str]]:
    return {(r.name, str(r.specifier), str(r.marker or "")) for r, _ in pins(name)}


@pytest.mark.parametrize("name", ["run", "dev", "uv"])
def test_every_requirement_is_one_released_version_with_hashes(name: str) -> None:
    pinned = list(pins(name))
    assert pinned
    for requirement, n_hashes in pinned:
        (pin,) = requirement.specifier
        assert pin.operator == "==", requirement
        assert "+" not in pin.version, f"{requirement} is a local build"
        assert requirement.url is None, requirement
        assert n_hashes > 0, f"{requirement} has no hash"


@pytest.mark.parametrize("name", ["run", "dev", "uv"])
def test_requirements_name_no_index_and_no_machine(name: str) -> None:
    text = (REPOSITORY / "requirements" / f"{name}.txt").read_text("utf-8")
    found = re.findall(r"https?:|file:|--\w*index|--find-links|(?<![\w.])/\w+", text)
    assert not found, f"requirements/{name}.txt has {found[:3]}: make lock writes none of these"


def test_dev_holds_every_pin_of_run() -> None:
    """The Makefile keeps one environment for both."""
    run = {pin[:2] for pin in versions("run")}
    assert not run - {pin[:2] for pin in versions("dev")}


@pytest.mark.parametrize(("name", "extras"), [("run", ()), ("dev", ("dev",))])
def test_requirements_are_those_of_the_project(name: str, extras: tuple[str, ...]) -> None:
    locked = {canonicalize_name(r.name): r for r, _ in pins(name)}
    declared = [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["build"]]
    for extra in extras:
        declared += PROJECT["project"]["optional-dependencies"][extra]
    for requirement in map(Requirement, declared):
        pinned = locked.get(canonicalize_name(requirement.name))
        assert pinned, f"{requirement} is not in requirements/{name}.txt: make lock"
        (pin,) = pinned.specifier
        assert requirement.specifier.contains(pin.version), f"{requirement}: make lock"


def test_the_build_dependency_is_the_pinned_one() -> None:
    assert PROJECT["build-system"]["requires"] == PROJECT["dependency-groups"]["build"]


@pytest.mark.skipif(os.name != "posix", reason="the Makefile is for Linux and macOS")
def test_make_alone_lists_the_two_commands() -> None:
    shown = subprocess.run(["make"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    for target in ("run", "test", "lint", "bench", "lock", "embedded", "esc10"):
        assert f"  make {target} " in shown.stdout


def test_citation_names_this_version_and_the_paper() -> None:
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text("utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == PROJECT["project"]["version"]
    assert citation["license"] == PROJECT["project"]["license"]
    (paper,) = citation["references"]
    assert paper["identifiers"][0]["value"] == "arXiv:2407.04082"
    assert [a["family-names"] for a in paper["authors"]][:2] == ["Bhati", "Gong"]


def test_changelog_has_this_version() -> None:
    changelog = (REPOSITORY / "CHANGELOG.md").read_text("utf-8")
    assert f"## [{PROJECT['project']['version']}]" in changelog


def tracked() -> list[Path]:
    """The text files that git would commit; in an sdist, none."""
    if shutil.which("git") is None or not (REPOSITORY / ".git").exists():
        pytest.skip("not a git checkout")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.check_output(command, cwd=REPOSITORY, text=True)
    text = (".py", ".toml", ".md", ".txt", ".csv", ".json", ".yml", ".cff", ".html", ".sh", "")
    files = (REPOSITORY / name for name in filter(None, listing.split("\0")))
    return [path for path in files if path.suffix in text and path.is_file()]


def test_no_file_names_a_machine_path_or_an_index_host() -> None:
    forbidden = [re.escape(host) for host in INDEX_HOSTS]
    forbidden += [rf"(?<![\w.$~/])/{top}/" for top in ("work", "root", "home", "Users")]
    pattern = re.compile("|".join(forbidden))
    for path in tracked():
        found = pattern.search(path.read_text("utf-8"))
        assert not found, f"{path.relative_to(REPOSITORY)} names {found and found.group()!r}"


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist, built by the pinned hatchling without isolation."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(out)]
    built = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return out


def expected(kind: str) -> set[str]:
    """The paths inside a wheel of the repository's files of one kind of data."""
    folder, suffix = DATA[kind]
    source = REPOSITORY / in_repository(folder)
    found = (path.relative_to(source).as_posix() for path in source.rglob(f"*{suffix}"))
    return {f"{folder}/{path}" for path in found}


@pytest.mark.parametrize("kind", DATA)
def test_the_wheel_holds_the_data(kind: str, distributions: Path) -> None:
    (wheel,) = distributions.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    assert expected(kind), f"the repository has no {kind}"
    assert expected(kind) <= inside


@pytest.mark.parametrize("kind", DATA)
def test_the_sdist_holds_the_data(kind: str, distributions: Path) -> None:
    (sdist,) = distributions.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert expected(kind), f"the repository has no {kind}"
    assert {in_repository(path) for path in expected(kind)} <= inside
    assert {"CONTRIBUTING.md", "scripts/docs.py", "results/README.md"} <= inside  # `make docs`


FINDER = """
import json, sys
sys.path.insert(0, sys.argv[1])
import niah
from importlib.resources import files
from niah import cards
from niah.sweep.presets import presets
from niah.vocabularies import vocabulary
print(json.dumps({
    "package": niah.__file__,
    "models": len(cards.model_cards()),
    "haystacks": len(cards.haystack_cards()),
    "presets": len(presets()),
    "weights": len(list(cards.cards_folder("models").glob("*.safetensors"))),
    "vocabularies": len(vocabulary("synthetic")),
    "published": cards.published_file().stat().st_size,
    "templates": len([f for f in (files("niah.pages") / "templates").iterdir() if f.name.endswith(".html")]),
}))
"""


def found_by(root: Path) -> dict[str, int]:
    """Count the data that the package in `root` finds."""
    ran = subprocess.run(
        [sys.executable, "-c", FINDER, str(root)],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    counts: dict[str, int] = json.loads(ran.stdout)
    assert Path(str(counts.pop("package"))).is_relative_to(root)
    return counts


def test_wheel_and_sdist_find_what_the_checkout_finds(distributions: Path, tmp_path: Path) -> None:
    (wheel,), (sdist,) = distributions.glob("*.whl"), distributions.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "wheel")
    with tarfile.open(sdist) as packed:
        packed.extraction_filter = getattr(tarfile, "data_filter", None)  # Python 3.11.2 has none
        packed.extractall(tmp_path)
    checkout = found_by(REPOSITORY)
    assert min(checkout.values()) > 0, checkout
    assert found_by(tmp_path / "wheel") == checkout
    assert found_by(tmp_path / sdist.name.removesuffix(".tar.gz")) == checkout


def test_the_wheel_is_the_package_and_nothing_else(distributions: Path) -> None:
    (wheel,) = distributions.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
        assert "niah/py.typed" in archive.namelist()
        (entry,) = (n for n in archive.namelist() if n.endswith("entry_points.txt"))
        commands = archive.read(entry).decode().splitlines()
        assert {"niah = niah.cli:main", "audio-niah = niah.cli:main"} <= set(commands)  # uvx
    assert tops == {"niah", f"audio_niah-{PROJECT['project']['version']}.dist-info"}


def test_the_installed_version_is_this_one() -> None:
    assert importlib.metadata.version("audio-niah") == PROJECT["project"]["version"]


LISTER = """
import json, sys
import niah, niah.cli
heavy, commands = json.loads(sys.argv[1])
for command in commands:
    sys.argv = ["niah", *command.split()]
    try:
        niah.cli.main()
    except SystemExit as stop:
        assert not stop.code, (command, stop.code)
    loaded = [name for name in heavy if name in sys.modules]
    assert not loaded, f"niah {command} imported {loaded}"
"""


def test_listings_import_nothing_heavy() -> None:
    arguments = [sys.executable, "-c", LISTER, json.dumps((HEAVY, LISTINGS))]
    ran = subprocess.run(arguments, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    for shown in ("Usage: niah", "dass-medium", "babble-official", 'name = "dass-nano"'):
        assert shown in ran.stdout


def readme_commands() -> list[str]:
    """The lines of the README's ```console blocks, continuations joined, `$ ` taken off."""
    readme = REPOSITORY / "README.md"
    text = readme.read_text("utf-8") if readme.exists() else ""
    blocks = re.findall(r"^```console\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    prompted = [line[2:].strip() for line in lines if line.startswith("$ ")]
    return prompted or [line.strip() for line in lines if line.strip()]


def arguments_after(program: str, line: str) -> list[str] | None:
    """The arguments of the first command of `line` when it is `program`, else None."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words = list(lexer)
    ends = [i for i, word in enumerate(words) if set(word) <= set("|&;<>")]
    words = words[: min(ends, default=len(words))]
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    if words[:3] == ["python", "-m", program]:
        words = words[2:]
    return words[1:] if words and Path(words[0]).name == program else None


def test_readme_has_commands() -> None:
    assert any(arguments_after("niah", line) for line in readme_commands())


@pytest.mark.parametrize("line", readme_commands())
def test_readme_command_is_understood(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--help` at the end: every command and option name is parsed, nothing is done."""
    if (targets := arguments_after("make", line)) is not None:
        subprocess.run(["make", "-n", *targets], cwd=REPOSITORY, capture_output=True, check=True)
    if (arguments := arguments_after("niah", line)) is None:
        return
    from niah import cli

    monkeypatch.setattr(sys, "argv", ["niah", *arguments, "--help"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert not stop.value.code, line
