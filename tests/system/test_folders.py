"""No folder of the user's machine in what a run or a training publishes; what was there before still resumes."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from safetensors import safe_open

import niah
from niah.compare.paired import compare
from niah.diagnosis.localisation.locate import LocateOptions, locate
from niah.errors import NiahError
from niah.pages import run_report as report
from niah.pages.leaderboard import read as submissions
from niah.records.run_directory import RunDirectory
from niah.system import folders
from niah.training.command import train_recipe
from niah.training.recipes import read_recipe
from tests.helpers import examples, tiny


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/mnt/a/b.wav", "…/b.wav"),
        ("…/b.wav", "…/b.wav"),
        ("/mnt/…/b.wav", "…/b.wav"),
        ("cannot read file:///mnt/a/b.wav", "cannot read …/b.wav"),
        ("needs /m/09x0r and /t/dd00005", "needs /m/09x0r and /t/dd00005"),
        ("https://a.org/b/c", "https://a.org/b/c"),
        ("babble:/mnt/a/b.wav", "babble:…/b.wav"),
        ("C:/Documents/a/b.wav", "C:…/b.wav"),
        ("runs/a/b.wav", "runs/a/b.wav"),
        ("in /mnt/al ice/x/y.wav: bad", "in …/y.wav: bad"),
    ],
)
def test_paths_in_sentences_keep_their_last_part(text: str, shown: str) -> None:
    assert folders.without_folders(text, ["/mnt/al ice"]) == shown
    assert folders.without_folders(shown) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/mnt/al ice/my data/eval 1.csv?fold=4", "…/eval 1.csv?fold=4"),
        ("/data/esc50/", "…/esc50"),
        ("~/x/y", "…/y"),
        ("C:\\Users\\al ice\\x.csv", "…/x.csv"),
        ("C:/Documents/x.csv", "…/x.csv"),
        ("\\\\host\\share\\x.csv", "…/x.csv"),
        ("/m/09x0r", "/m/09x0r"),
        ("../x/y.csv", "../x/y.csv"),
        ("dass-nano", "dass-nano"),
    ],
)
def test_of_a_path_the_last_part_is_told(text: str, shown: str) -> None:
    assert folders.last_part(text) == shown
    assert folders.last_part(shown) == shown


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a space, as homes have them, with a card, weights, clips and one that cannot be read."""
    folder = tmp_path_factory.mktemp("al ice")
    card = tiny.card(folder)
    (folder / "sub dir").mkdir()
    (folder / "sub dir" / "bad.wav").write_bytes(b"no sound")
    missing = folder / "sub dir" / "gone.wav"
    tiny.manifest(
        folder, 6, [(str(folder / "sub dir" / "bad.wav"), "/t/low"), (str(missing), "/t/low")]
    )
    assert card.is_file()
    return folder


def options(home: Path, **given: Any) -> dict[str, Any]:
    return {
        "models": [str(home / "tiny.toml")],
        "checkpoint": str(tiny.checkpoint(home)),
        "needles": str(home / "clips.csv"),
        "haystacks": ["zero", "babble"],
        "babble": home / "clip01.wav",
        "audio_root": home,
        "lengths": [10, 20],
        "device": "cpu",
        "out": home / "run",
        **given,
    }


@pytest.fixture(scope="module")
def run(home: Path) -> Path:
    niah.run(**options(home))
    report.write(home / "run")
    return home / "run"


def test_a_run_tells_no_folder(run: Path, home: Path) -> None:
    written = bytes_of(run)
    assert {"run.json", "report.html", "tables.md", "cells.csv"} <= set(written)
    for name, content in written.items():
        assert str(home.parent).encode() not in content, name
    files = list((run / "scores").glob("*.parquet"))
    assert files
    for file in files:
        assert str(home) not in str(pq.read_metadata(file).metadata)
        assert str(home) not in str(pq.read_table(file).to_pydict())
    told = json.loads((run / "run.json").read_text())
    assert told["arguments"]["needles"] == "…/clips.csv"
    assert told["arguments"]["babble"] == "…/clip01.wav"
    assert len(told["excluded_clips"]) == 2
    assert "bad.wav" in json.dumps(told["excluded_clips"])


SAME = ("schema_version", "identity", "arguments", "needles", "models", "haystacks")


def test_an_older_run_is_shown_without_them_and_resumes(
    run: Path, home: Path, tmp_path: Path
) -> None:
    """run.json as it was written before: whole paths everywhere, in the identity too."""
    file = run / "run.json"
    kept = file.read_text()
    told = json.loads(kept)
    whole = {name: str(v) if isinstance(v, Path) else v for name, v in options(home).items()}
    told["arguments"].update({k: v for k, v in whole.items() if k in told["arguments"]})
    told["notes"] = [f"{home}/sub dir/bad.wav: no", "/opt/alice/x.wav is bad"]
    told["excluded_clips"] = [{"id": "bad", "reason": f"{home}/sub dir/bad.wav is bad"}]
    file.write_text(json.dumps(told))
    report.write(run)
    for name in ("report.html", "tables.md"):
        text = (run / name).read_text()
        assert str(home) not in text
        assert "alice" not in text
        assert "bad.wav" in text
    before = {f.name: f.read_bytes() for f in (run / "scores").iterdir()}
    table = niah.run(**options(home))
    assert {f.name: f.read_bytes() for f in (run / "scores").iterdir()} == before
    assert set(table["status"]) == {"ok"}
    now = json.loads(file.read_text())
    assert {name: now[name] for name in SAME} == {name: json.loads(kept)[name] for name in SAME}
    own = {"labels": f"{tmp_path}/of mine/labels.csv"}
    with RunDirectory.create_or_open(tmp_path / "r", {**examples.IDENTITY, **own}):
        pass
    content = json.loads((tmp_path / "r/run.json").read_text())
    for labels in (content["identity"]["labels"], own["labels"]):
        content["identity"]["labels"] = labels  # as it is written now, and as before
        (tmp_path / "r/run.json").write_text(json.dumps(content))
        RunDirectory.create_or_open(tmp_path / "r", {**examples.IDENTITY, **own}).close()
    with pytest.raises(NiahError, match="holds another run"):
        RunDirectory.create_or_open(tmp_path / "r", {**examples.IDENTITY, "labels": "/a/other.csv"})


def test_locate_finds_the_clips_again_on_this_machine_alone(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = run.rename(tmp_path / "moved")
    try:
        written = locate(LocateOptions(moved, haystacks=("zero",)))
        assert all(path.is_file() for path in written)
        monkeypatch.setenv("NIAH_CACHE", str(tmp_path / "elsewhere"))
        with pytest.raises(NiahError, match=r"only the last part .*it resumes"):
            locate(LocateOptions(moved))
    finally:
        moved.rename(run)


def test_a_training_tells_no_folder(home: Path) -> None:
    lines = {
        "model": str(home / "tiny.toml"),
        "train": str(home / "few.csv"),
        "validation": str(home / "few.csv"),
        "labels": str(home / "labels.csv"),
    }
    rows = [f"{home}/clip{i:02d}.wav,{tiny.IDS[i % 3]}" for i in range(6)]
    (home / "few.csv").write_text("\n".join(["path,labels", *rows]) + "\n")
    recipe = home / "made.toml"
    told = [f"{name} = {json.dumps(value)}" for name, value in lines.items()]
    sizes = ["epochs = 1", "batch_size = 3", "average_last = 1", "warmup_steps = 0"]
    recipe.write_text("\n".join([*told, *sizes]))
    weights = train_recipe(str(recipe), home / "trained", device="cpu")
    for name, content in bytes_of(home / "trained").items():
        assert str(home).encode() not in content, name
    with safe_open(weights, framework="pt") as file:
        metadata = json.loads(file.metadata()["training"])
    assert metadata["recipe"]["train"] == metadata["recipe"]["validation"] == "…/few.csv"
    assert str(home) in read_recipe(str(recipe)).fingerprint_text  # what older checkpoints have


def test_equal_names_of_runs_are_numbered(tmp_path: Path) -> None:
    places = [tmp_path / who / "run" for who in ("alice", "bob", "carol")]
    for place in places:
        examples.make(place)
    assert [each.name for each in submissions(places)] == ["run", "run (2)", "run (3)"]
    found = compare(places[0], places[1], models=("dass-nano",))
    assert (found.a, found.b) == ("dass-nano in run", "dass-nano in run (2)")
    assert folders.numbered(["run (2)", "run", "run"]) == ["run (2)", "run", "run (3)"]


def test_a_failed_cells_error_tells_no_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise NiahError(f"{home}/clip01.wav is gone, so is /opt/alice/x.wav")

    monkeypatch.setattr("niah.sweep.evaluator.infer", fails)
    niah.run(**options(home, out=home / "failed", haystacks=["zero"]))
    for name, content in bytes_of(home / "failed").items():
        assert str(home).encode() not in content, name
        assert b"alice" not in content, name
    assert "…/clip01.wav is gone, so is …/x.wav" in (home / "failed" / "cells.csv").read_text()
