"""Models and haystacks of an option: by commas or by repeating it, and names and paths with commas of their own."""

import json
from pathlib import Path

import pytest

from niah.cli.options import separated, separated_models
from tests.helpers.command_line import Niah


@pytest.mark.parametrize(
    ("typed", "values"),
    [
        (None, ()),
        ([], ()),
        (["zero"], ("zero",)),
        (["zero,gaussian", "babble"], ("zero", "gaussian", "babble")),
        (["zero, gaussian ,"], ("zero", "gaussian")),
        (["hf:a/b@main,dass-nano:v2"], ("hf:a/b@main", "dass-nano:v2")),
        ([","], (",",)),
        ([""], ("",)),
    ],
)
def test_commas_separate(typed: list[str] | None, values: tuple[str, ...]) -> None:
    assert separated(typed) == values


def test_a_path_that_exists_is_whole(tmp_path: Path) -> None:
    recording = tmp_path / "rain, heavy.wav"
    recording.touch()
    model = tmp_path / "mine,theirs.py"
    model.touch()
    assert separated([str(recording), f"{model}:tagger"]) == (str(recording), f"{model}:tagger")
    plain = tmp_path / "mine.py"
    plain.touch()
    assert separated([f"{plain}:tagger,dass-nano"]) == (f"{plain}:tagger", "dass-nano")
    assert separated([f"dass-nano,{plain}:tagger"]) == ("dass-nano", f"{plain}:tagger")
    assert separated(["zero," + 300 * "x"]) == ("zero", 300 * "x")  # no name of a file
    absent = tmp_path / "rain,light.wav"
    assert separated([str(absent)]) == (f"{tmp_path}/rain", "light.wav")


def test_a_name_in_a_run_is_whole(tmp_path: Path) -> None:
    models: dict[str, dict[str, str]] = {"mine, two heads": {}, "dass-nano": {}}
    content = {"schema_version": 2, "identity": {}, "models": models}
    (tmp_path / "run.json").write_text(json.dumps(content))
    for name in ("mine, two heads", "mine, two heads@12345678"):
        assert separated_models([name], tmp_path) == (name,)
        assert len(separated_models([name])) == 2
    assert separated_models(["dass-nano,other"], tmp_path, None) == ("dass-nano", "other")


def test_a_run_takes_commas_and_names_the_misspelt_part(niah: Niah, tmp_path: Path) -> None:
    models, haystacks = "dass-nano,aum-nano", "zero,gaussian"
    run = ("run", "--limit", "4", "--lengths", "10,20", "--out", tmp_path / "run", "--dry-run")
    plan = niah(*run, "--model", models, "--haystack", haystacks).stdout
    assert all(name in plan for name in f"{models},{haystacks}".split(","))
    refusal = niah(*run, "--haystack", "zero,babbel").refusal()
    assert "unknown haystack 'babbel'. Did you mean 'babble'?" in refusal
