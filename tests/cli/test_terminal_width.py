"""Every table that a command prints fits a terminal of 80 columns, with no word cut."""

import re
import sys
from pathlib import Path

import pytest

from niah.bench import report
from niah.cards import model_cards
from niah.cli import main
from niah.cli.messages import print_table
from niah.training.recipes import recipes
from tests.helpers import examples

WIDTH = 80
COMMANDS: dict[tuple[str, ...], tuple[str, ...]] = {  # what each must show whole
    ("models",): (*(card.name for card in model_cards()), "Without room here: published mAP"),
    ("haystacks",): ("babble-official", "gaussian"),
    ("train", "--list"): tuple(recipe.name for recipe in recipes()),
    ("compare", "RUN", "-m", "dass-nano", "-m", "ast-sin-nano"): (
        "babble, 10 dB, at 0.5 (effectively 0.56), 100 s",
    ),
    ("check", "RUN", "--against", "RUN"): ("dass-nano, zero, at 1, 50 s", "tolerance"),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return examples.make(tmp_path_factory.mktemp("run") / "run").path


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"COLUMNS": str(WIDTH), "TTY_COMPATIBLE": "1", "NO_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert lines
    assert max(map(len, lines)) <= WIDTH
    assert not any("…" in line for line in lines)
    return lines


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_tables_of_commands(
    command: tuple[str, ...],
    run: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [str(run) if word == "RUN" else word for word in command]
    monkeypatch.setattr(sys, "argv", ["niah", *words])
    with pytest.raises(SystemExit):
        main()
    text = "\n".join(lines_of(capsys))
    assert [whole for whole in COMMANDS[command] if whole not in text] == []


def test_the_table_of_bench(capsys: pytest.CaptureFixture[str]) -> None:
    row = ("dass-medium", "7200 s", "scan-cpu", "bfloat16", *["1234.5"] * (len(report.HEADER) - 4))
    print_table(report.HEADER, [row] * 3)
    assert "Without room here: batch, roofline, of roofline." in "\n".join(lines_of(capsys))
