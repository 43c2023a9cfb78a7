"""`niah run --config`: options from a TOML, and a run that repeats from its own run.json."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from niah.cli import main
from niah.cli.config import read_config
from niah.errors import NiahError
from niah.sweep.options import RunOptions
from niah.system import folders
from niah.system.download import cache_folder
from tests.conftest import REPOSITORY

RUN = REPOSITORY / "results" / "embedded" / "run.json"


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[RunOptions]:
    """What `niah run --dry-run` would run."""
    plans: list[RunOptions] = []
    monkeypatch.setattr("niah.cli.run.print_plan", lambda parts, *_: plans.extend(parts))
    return plans


def run(monkeypatch: pytest.MonkeyPatch, *options: object) -> None:
    monkeypatch.setattr(sys, "argv", ["niah", "run", "--dry-run", *map(str, options)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0


def written(folder: Path, text: str, name: str = "run.toml") -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_a_run_repeats_from_its_own_record(
    planned: list[RunOptions], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(monkeypatch, "--config", RUN, "--out", "runs/again")
    (options,) = planned
    stated = json.loads(RUN.read_text())["arguments"]
    for name in ("protocol", "level", "needles", "seed", "limit", "dtype", "kernel"):
        assert getattr(options, name) == stated[name]
    for name in ("models", "haystacks", "snrs_db", "positions", "lengths_s"):
        assert getattr(options, name) == tuple(stated[name])
    assert options.out == Path("runs/again")


def test_what_is_typed_overrides_the_file(
    planned: list[RunOptions], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = written(
        tmp_path,
        'model = "dass-nano"\nlengths = [10, 20]\nhaystack = ["gaussian"]\nsnr = 5\nseed = 3\n'
        'level = ["surround", "mix"]\nneedle-count = [1, 2]\nwindow = 10\n'
        'out = "runs/file"\nneedles = "synthetic"\nstrict = true\n',
    )
    run(monkeypatch, "--config", file)
    run(
        monkeypatch,
        "--config",
        file,
        "--lengths",
        "50",
        "--seed",
        "0",
        "--needle-count",
        "4",
        "--out",
        "o",
    )
    of_file, typed = planned
    assert (of_file.models, of_file.lengths_s, of_file.snrs_db) == (
        ("dass-nano",),
        (10.0, 20.0),
        (5.0,),
    )
    assert (of_file.seed, of_file.level, of_file.needle_counts) == (3, "surround,mix", (1, 2))
    assert (of_file.window_s, of_file.out, of_file.strict) == (10.0, Path("runs/file"), True)
    assert (typed.lengths_s, typed.seed, typed.needle_counts, typed.out) == (
        (50.0,),
        0,
        (4,),
        Path("o"),
    )
    assert (typed.models, typed.haystacks) == (("dass-nano",), ("gaussian",))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("lenghts = [10]", "unknown option 'lenghts'.*Did you mean"),
        ('lengths = "ten"', "lengths must be a number, got 'ten'"),
        ("seed = 1.5", "seed must be a whole number"),
        ("strict = 1", "strict must be true or false"),
        ("out = 5", "out must be text"),
        ("models = [1]", "models must be text"),
        ("objects = {}", "unknown option 'objects'"),
        ("x = [", "is not valid TOML"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(NiahError, match=reason):
        read_config(written(tmp_path, text), lambda _: None)


def recorded(folder: Path, **arguments: Any) -> Path:
    content = {"schema_version": 2, "identity": {"ids_sha256": "0" * 64}, "arguments": arguments}
    return written(folder, json.dumps(content), "run.json")


def test_what_a_record_cannot_say_is_not_guessed(tmp_path: Path) -> None:
    """Code of a stranger is not trusted again, a preset's parts are its own, a cut path needs its machine."""
    notes: list[str] = []
    settings = read_config(
        recorded(tmp_path, trust_remote_code=True, models=["a"], new=1), notes.append
    )
    assert settings == {"models": ("a",)}
    assert "--trust-remote-code" in notes[0]
    preset = recorded(
        tmp_path, preset="fig4", models=["a"], lengths_s=[10.0], protocol="dass-v1", seed=1
    )
    assert read_config(preset, notes.append) == {"preset": "fig4", "seed": 1}
    assert "--preset fig4" in notes[1]
    whole = {"needles": "/data/eval.csv", "seed": 0}
    cut = recorded(tmp_path, **folders.published(whole, paths=True))
    with pytest.raises(NiahError, match="only the last part of needles"):
        read_config(cut, notes.append)
    folders.remember(whole, "0" * 64)
    assert read_config(cut, notes.append)["needles"] == "/data/eval.csv"
    with pytest.raises(NiahError, match="not found"):
        read_config(tmp_path / "none.json", notes.append)
    with pytest.raises(NiahError, match="no arguments"):
        read_config(recorded(tmp_path), notes.append)


@pytest.mark.parametrize("out", ["runs/r", "{absolute}"])
def test_relative_paths_are_of_the_folder_that_the_run_began_in(
    out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From another folder the same record said "not found", in `niah locate` too."""
    home, run, away = tmp_path / "home", tmp_path / "home" / "runs" / "r", tmp_path / "away"
    for folder in (run, home / "data", home / "zero", away):
        folder.mkdir(parents=True)
    for name in ("mine.toml", "code.py", "clips.csv"):
        written(home / "data", "", name)
    typed = {
        "models": ["data/mine.toml", "data/code.py:tagger", "dass-nano", "data/gone.toml"],
        "needles": "data/clips.csv",
        "haystacks": ["zero"],
        "out": out.format(absolute=run),
    }
    monkeypatch.chdir(home)
    folders.remember(typed, "0" * 64)
    record = recorded(run, **folders.published(typed, paths=True))
    assert read_config(record, lambda _: None)["needles"] == "data/clips.csv"
    monkeypatch.chdir(away)
    settings = read_config(record, lambda _: None)
    assert settings["needles"] == str(home / "data" / "clips.csv")
    assert settings["haystacks"] == ("zero",)
    assert settings["models"] == (
        *(str(home / "data" / name) for name in ("mine.toml", "code.py:tagger")),
        *("dass-nano", "data/gone.toml"),
    )
    record.rename(away / "run.json")  # nothing says where it began
    assert read_config(away / "run.json", lambda _: None)["needles"] == "data/clips.csv"


def test_a_home_that_the_shell_has_left_is_the_users(
    planned: list[RunOptions], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`--out=~/run`, a list and a file of options made and read a folder called "~" beside the command."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NIAH_CACHE", "~/cache")
    file = written(tmp_path, 'needles = "~/clips.csv"\nbabble = "~/voices"\nprompt = "a ~ of {}"\n')
    run(monkeypatch, "--config", file, "--out=~/run", "--haystack", "zero,~/street.wav,~x.wav")
    (options,) = planned
    assert options.out == tmp_path / "run"
    assert options.haystacks == ("zero", str(tmp_path / "street.wav"), "~x.wav")
    assert (options.needles, options.babble) == (f"{tmp_path}/clips.csv", tmp_path / "voices")
    assert options.prompt == "a ~ of {}"
    assert cache_folder() == tmp_path / "cache"
