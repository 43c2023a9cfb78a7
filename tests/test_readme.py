"""The README files: generated parts are fresh, linked files exist."""

import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import typer

from niah.cli import app
from niah.pages import leaderboard
from niah.sweep.presets import options_of
from tests.conftest import REPOSITORY

SCRIPT = REPOSITORY / "scripts" / "readme.py"


def test_generated_tables_are_fresh() -> None:
    command = [sys.executable, str(SCRIPT), "--check"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr


@pytest.mark.parametrize(
    ("document", "row", "mark"),
    [
        ("README.md", "| dass-nano |", "results"),
        ("models/README.md", "| [dass-nano](dass-nano.toml) |", "models"),
        ("haystacks/README.md", "| [zero](zero.toml) |", "haystacks"),
        ("results/README.md", "| [nano](nano/cells.csv) |", "runs"),
        ("docs/columns.md", "| `mAP_lo` |", "columns"),
        ("docs/cli.md", "| `--lengths` |", "command line"),
    ],
)
def test_a_stale_table_is_found(
    document: str, row: str, mark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(SCRIPT.parent)  # as python does
    script = runpy.run_path(str(SCRIPT))
    rendered, text = script["rendered"], (REPOSITORY / document).read_text()
    assert rendered(document, text.replace(row, "| giga |", 1)) == text
    with pytest.raises(SystemExit, match=f"{document} has no part between"):
        rendered(document, text.replace(f"<!-- end of {mark} -->", ""))


def test_every_card_and_recipe_is_listed() -> None:
    text = (REPOSITORY / "models" / "README.md").read_text()
    files = [
        path.relative_to(REPOSITORY / "models") for path in (REPOSITORY / "models").rglob("*.toml")
    ]
    assert len(files) > 80
    assert not [file for file in files if f"({file.as_posix()})" not in text]
    folders = {path.name for path in (REPOSITORY / "results").iterdir() if path.is_dir()}
    listed = re.findall(
        r"^\| \[([\w-]+)\]\(\1\)", (REPOSITORY / "results" / "README.md").read_text(), re.M
    )
    assert set(listed) == folders


def test_the_results_table_is_the_leaderboards(tmp_path: Path) -> None:
    leaderboard.write([REPOSITORY / "results" / "embedded"], tmp_path)
    text = (REPOSITORY / "README.md").read_text()
    part = text.partition("<!-- results: scripts/readme.py -->")[2].partition("<!-- end")[0]
    assert part.count("| dass-nano |") == 3
    rows = (tmp_path / "leaderboard.md").read_text().splitlines()
    for row in part.strip().splitlines():
        assert any(each.startswith(row) for each in rows), (
            row
        )  # but for the speeds, the last column


def test_the_finding_is_the_runs() -> None:
    """What the first screen says of YAMNet: silence keeps all, noise costs at once, length next to nothing more."""
    text = (REPOSITORY / "README.md").read_text()
    cells = pd.read_csv(REPOSITORY / "results" / "yamnet-esc50" / "niah-v2.1" / "cells.csv")
    cells = cells[(cells["model"] == "yamnet") & cells["control"].isna()]
    own = cells[(cells["pooling"] == "mean-probability") & (cells["position"].fillna(0.5) == 0.5)]

    def mAP(haystack: str, length_s: float, snr_db: float | None = None) -> float:  # noqa: N802
        level = own["snr_db"].isna() if snr_db is None else own["snr_db"] == snr_db
        rows = own[(own["haystack"] == haystack) & (own["length_s"] == length_s) & level]
        (value,) = rows["mAP"]
        return float(value)

    assert f"{own['n_clips'].iloc[0]} clips of ESC-50" in text
    assert f"random scores get\n{own['chance_mAP'].iloc[0]:.2f}" in text
    alone = mAP("none", 10)
    assert mAP("silence", 9000) > alone - 0.01
    for haystack in ("babble", "coffee_shop", "gaussian"):
        at_once, later = (mAP(haystack, s, 10) for s in (10, 300))
        assert 0.1 < (alone - at_once) / alone < 0.3
        assert abs(later - at_once) < 0.03
    part = text.partition("<!-- finding: scripts/readme.py -->")[2].partition("<!-- end")[0]
    assert f"| people talking, 10 dB below it | {mAP('babble', 10, 10):.2f} |" in part


def test_runs_that_the_readme_uses_are_made_there_and_fit() -> None:
    """What is checked against published numbers is of their protocol, and what is compared is in the run."""
    text = (REPOSITORY / "README.md").read_text()
    made = dict(re.findall(r"^\$ niah run (.*) --out (runs/\S+)$", text, re.M))
    by_folder = {folder: options for options, folder in made.items()}
    used = re.findall(r"^\$ niah (report|locate|compare|check) (runs/\S+)(.*)$", text, re.M)
    assert {command for command, _, _ in used} == {"report", "locate", "compare", "check"}
    for command, folder, options in used:
        preset = re.search(r"--preset (\S+)", by_folder[folder])
        models = re.findall(r"--model (\S+)", options)
        if "--against published" in options or (command == "compare" and models):
            assert preset is not None, folder
            (part, *_) = options_of({"preset": preset[1]})
            assert part.protocol == "dass-v1"
            assert set(models) <= set(part.models)


def documents() -> list[Path]:
    found = [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")]
    for folder in ("models", "haystacks", "results", "scripts"):
        found += (REPOSITORY / folder).rglob("*.md")
    return sorted(found)


@pytest.mark.parametrize(
    "document", documents(), ids=lambda path: str(path.relative_to(REPOSITORY))
)
def test_linked_files_exist(document: Path) -> None:
    text = re.sub(r"`[^`\n]*`|```.*?```", "", document.read_text(), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)#\s]+)\)", text)
    local = [target for target in targets if "://" not in target]
    assert not [target for target in local if not (document.parent / target).exists()]


def test_the_documents_have_links() -> None:
    assert {"README.md", "CONTRIBUTING.md"} <= {path.name for path in documents()}
    assert sum(path.read_text().count("](") for path in documents()) > 100


PATH_IN_CODE = re.compile(
    r"`((?:niah|tests|benchmarks|scripts|docs|models|haystacks|results|presets|requirements|\.ci|\.github)/[\w./*-]*)`"
)


@pytest.mark.parametrize(
    "name", ["CONTRIBUTING.md", *(f"docs/{p.name}" for p in (REPOSITORY / "docs").glob("*.md"))]
)
def test_paths_that_a_document_names_exist(name: str) -> None:
    """Names in capitals stand for a file that a contributor makes."""
    paths = PATH_IN_CODE.findall((REPOSITORY / name).read_text())
    missing = [path for path in paths if not list(REPOSITORY.glob(path)) and path == path.lower()]
    assert not missing
    assert name != "CONTRIBUTING.md" or len(paths) > 40


def test_every_folder_of_the_package_is_explained() -> None:
    text = (REPOSITORY / "CONTRIBUTING.md").read_text()
    folders = [path.parent.name for path in (REPOSITORY / "niah").glob("*/__init__.py")]
    assert len(folders) > 20
    assert not [name for name in folders if f"`niah/{name}/`" not in text]


def commands() -> dict[str, set[str]]:
    """Return the options of every command, by its words after `niah`."""
    found: dict[str, set[str]] = {}

    def add(words: str, command: Any) -> None:
        for name, each in getattr(command, "commands", {}).items():
            add(f"{words} {name}".strip(), each)
        parameters = command.get_params(typer.Context(command, info_name="niah"))
        found[words] = {o for p in parameters for o in (*p.opts, *p.secondary_opts)}

    add("", typer.main.get_command(app))
    return found


def test_every_command_and_option_that_a_document_types_exists() -> None:
    """Lines of code blocks and spans that begin with `niah`; those of the changelog are of their time."""
    known, checked = commands(), 0
    for path in documents():
        if path.name == "CHANGELOG.md":
            continue
        text = path.read_text()
        spans = re.findall(r"(?<!`)`((?:\$ )?niah [a-z][^`]*)`(?!`)", text)
        spans += re.findall(r"^[ \t]*(?:- run: |\$ )?(niah [a-z].*)$", text, re.MULTILINE)
        for span in spans:
            words = span.split("#")[0].removeprefix("$ ").split()[1:]
            name = next((n for n in (" ".join(words[:2]), words[0]) if n in known), None)
            assert name is not None, (path.name, span)
            options = {w.split("=")[0].rstrip(".,;:)") for w in words if re.match(r"--[a-z]", w)}
            assert options <= known[name] | known[""] | {"--help"}, (path.name, span)
            checked += 1
    assert checked > 150
