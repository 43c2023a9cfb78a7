"""`niah scenes` and `niah score`: from a plan to sounds, from predictions to the table and the page."""

import csv
import json
import re
import runpy
import shlex
from pathlib import Path

import pandas as pd
import pytest

from tests.helpers import tiny
from tests.helpers.command_line import Material, Niah


def test_scenes_and_score(niah: Niah, material: Material, tmp_path: Path) -> None:
    folder, out, labels = tmp_path / "scenes", tmp_path / "run", material.card.parent / "labels.csv"
    arguments = (
        *("scenes", "--needles", material.clips, "--labels", labels, "--haystack", "silence"),
        *("--lengths", "12", "--control", "needle-free", "--out", folder),
    )
    forecast = "13 scenes, 0.04 h of sound, at most 0.00419 GB"
    dry = niah(*arguments, "--dry-run")
    assert (dry.status, dry.stdout) == (0, f"{forecast}; nothing was written\n")
    assert not folder.exists()
    answer = niah(*arguments)
    assert answer.status == 0, answer
    assert answer.stdout.startswith(f"{forecast}; all are written\n")
    assert niah(*arguments).stdout.startswith("all scenes are there already\n")
    with (folder / "manifest.csv").open() as stream:
        scenes = [row["scene"] for row in csv.DictReader(stream)]
    guesses = [f"{scene},{tiny.IDS[index % 3]}" for index, scene in enumerate(scenes)]
    words = tmp_path / "words.csv"
    words.write_text("\n".join(["scene,label", *guesses[:-2]]) + "\n")
    score = ("score", folder, words, "--model", "talker", "--out", out)
    assert niah(*score).refusal().startswith("2 of 13 scenes have no prediction, the first")
    partly = niah(*score, "--allow-missing")
    assert partly.status == 1
    assert "1 cell incomplete: see the notes above" in partly.stderr.splitlines()[-1]
    shown = niah("scenes", "--help").stdout
    assert all(group in shown for group in ("Needles", "Scenes", "Files", "Further axes"))
    assert "--pooling" not in shown


def test_the_page_as_it_stands(niah: Niah, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/scenes.md: its commands, its system, and a table of its run."""
    page = (tiny.REPOSITORY / "docs" / "scenes.md").read_text()
    blocks = re.findall(r"```(sh|python)\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    for language, text in blocks:
        if language == "python":
            Path("system.py").write_text(text)
            continue
        for program, *arguments in map(shlex.split, text.splitlines()):
            if program == "python":
                runpy.run_path(arguments[0])
            else:
                answer = niah(*arguments)
                assert answer.status == 0, answer
    cells = pd.read_csv("runs/my-system/cells.csv")
    assert cells["length_s"].tolist() == [10.0, 20.0]
    assert (cells["mAP"] > cells["chance_mAP"]).all()
    assert Path("runs/my-system/report.html").is_file()
    for line in re.findall(r"`(\{.*?\})` \|", page):
        assert "scene" in json.loads(line)
