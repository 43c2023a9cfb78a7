"""The identity of a run: other clips, labels, sounds, parts, seeds or protocols do not go into its folder."""

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
import soundfile

from niah.errors import NiahError
from niah.records.merge import merge
from niah.records.run_directory import RunDirectory
from niah.sweep.loop import run_sweep
from niah.sweep.options import RunOptions
from tests.helpers import tiny
from tests.helpers.tiny_sweep import (
    Material,
    state_of,
)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"protocol": "niah-v2"}, "protocol is dass-v1 there, niah-v2.1 now"),
        ({"seed": 1}, "seed is 0 there, 1 now"),
        ({"limit": 3}, r"holds another run \(other clips: 6 there, 3 now\)"),
        ({"noise_seed": 1}, "noise_seed is absent there, 1 now"),
    ],
)
def test_another_run_does_not_go_in_the_same_folder(
    done: Path, material: Material, options: dict[str, Any], message: str
) -> None:
    before = state_of(done)
    run_json = (done / "run.json").read_bytes()
    with pytest.raises(NiahError, match=message):
        material.run(done, **options)
    assert state_of(done) == before
    assert (done / "run.json").read_bytes() == run_json


def test_another_protocol_or_process_is_named_before_anything_is_loaded(done: Path) -> None:
    """The model and the clips of these options are nowhere."""
    notes: list[str] = []
    absent: dict[str, Any] = {"models": ("no.toml",), "needles": "no.csv", "out": done}
    with pytest.raises(NiahError, match=r"holds another run \(seed is 0 there, 2 now\)"):
        run_sweep(RunOptions(protocol="dass-v1", seed=2, **absent), notes.append)
    with (
        RunDirectory(done).join(),
        pytest.raises(NiahError, match=r"no\.toml"),
    ):
        run_sweep(RunOptions(protocol="dass-v1", **absent), notes.append)
    (note,) = notes
    assert note.startswith(f"process {socket.gethostname()}:{os.getpid()} also at work in {done}")


def test_another_sound_under_the_same_name_is_refused(tmp_path: Path, material: Material) -> None:
    """The ids of the clips are the same: it is their content that the run's numbers rest on."""
    clips = tiny.manifest(tmp_path / "clips", clips=3)
    options = {"needles": clips, "haystack": "zero", "lengths": [10]}
    material.run(tmp_path / "out", **options)
    before = state_of(tmp_path / "out")
    run_json = json.loads((tmp_path / "out" / "run.json").read_text())
    soundfile.write(tmp_path / "clips" / "clip01.wav", tiny.tone(7), tiny.SAMPLE_RATE)
    with pytest.raises(NiahError, match="the sound or the labels of its clips have changed since"):
        material.run(tmp_path / "out", **options)
    assert state_of(tmp_path / "out") == before
    identity = run_json["identity"]
    assert identity["content_sha256"] == run_json["needles"]["content_sha256"]
    del identity["content_sha256"]  # a run of before there was a hash is taken up by its ids
    (tmp_path / "out" / "run.json").write_text(json.dumps(run_json))
    material.run(tmp_path / "out", **options)


def test_other_recordings_of_the_same_clips_are_refused(tmp_path: Path, material: Material) -> None:
    """Cells of before a column `group` was added kept intervals by clip, beside those by recording, without a word."""
    clips = tiny.manifest(tmp_path / "clips", clips=4)
    options = {"needles": clips, "haystack": "zero", "lengths": [10]}
    material.run(tmp_path / "out", **options)
    header, *rows = clips.read_text().splitlines()
    grouped = [f"{header},group", *(f"{row},r{number // 2}" for number, row in enumerate(rows))]
    clips.write_text("\n".join(grouped) + "\n")
    with pytest.raises(NiahError, match=r"cut from \(group\) have changed since"):
        material.run(tmp_path / "out", **options)
    run_json = json.loads((tmp_path / "out" / "run.json").read_text())
    clips.write_text(clips.read_text().replace(",r", ",night/r"))
    del run_json["identity"]["groups_sha256"]  # of an earlier version
    (tmp_path / "out" / "run.json").write_text(json.dumps(run_json))
    material.run(tmp_path / "out", **options)


def test_other_labels_under_the_same_names_are_refused(tmp_path: Path, material: Material) -> None:
    clips = tiny.manifest(tmp_path / "clips", clips=3)
    options = {"needles": clips, "haystack": "zero", "lengths": [10]}
    material.run(tmp_path / "out", **options)
    before = state_of(tmp_path / "out")
    original = clips.read_text()
    for label in tiny.IDS[1:]:  # of these some move the clips in their order, and some do not
        clips.write_text(original.replace(f"clip00.wav,{tiny.IDS[0]}", f"clip00.wav,{label}"))
        with pytest.raises(
            NiahError,
            match=r"holds another run .*(labels of its clips have changed|other labels of them)",
        ):
            material.run(tmp_path / "out", **options)
    with pytest.raises(NiahError, match="other clips: 3 there, 2 now"):
        material.run(tmp_path / "out", **options, limit=2)
    assert state_of(tmp_path / "out") == before


def test_classes_in_another_order_are_refused(tmp_path: Path, material: Material) -> None:
    """A label file that was sorted anew: cells of other outputs went into the folder, which had no report then."""
    card = tiny.card(tmp_path / "card")
    options = {"models": str(card), "haystack": "zero", "lengths": [10]}
    material.run(tmp_path / "out", **options)
    before, labels = state_of(tmp_path / "out"), card.with_name("labels.csv")
    low, middle, high = tiny.IDS
    rows = [f"{index},{id_},{id_[3:]}" for index, id_ in enumerate((high, middle, low))]
    labels.write_text("\n".join(["index,mid,display_name", *rows]) + "\n")
    longer: dict[str, Any] = {**options, "lengths": [10, 20]}
    with pytest.raises(NiahError, match="the classes of labels, or their order, have changed"):
        material.run(tmp_path / "out", **longer)
    assert state_of(tmp_path / "out") == before
    other = material.run(tmp_path / "other", **longer)
    assert len(other) == 2
    with pytest.raises(NiahError, match="the classes of labels, or their order, have changed"):
        merge([tmp_path / "out", tmp_path / "other"], tmp_path / "merged")
    tiny.card(tmp_path / "card")
    run_json = json.loads((tmp_path / "out" / "run.json").read_text())
    del run_json["identity"]["classes_sha256"]  # of before there was a hash
    (tmp_path / "out" / "run.json").write_text(json.dumps(run_json))
    assert len(material.run(tmp_path / "out", **longer)) == 2


def test_the_part_that_is_hidden_is_of_the_runs_identity(
    tmp_path: Path, material: Material
) -> None:
    clips = tiny.manifest(tmp_path / "clips", clips=3)
    soundfile.write(tmp_path / "clips" / "clip01.wav", tiny.tone(1, seconds=14), tiny.SAMPLE_RATE)
    options = {"needles": clips, "haystack": "gaussian", "lengths": [12]}
    first = material.run(tmp_path / "first", **options)
    centre = material.run(tmp_path / "centre", **options, needle_part="centre")
    assert not set(first["cell"]) & set(centre["cell"])
    content = {
        name: json.loads((tmp_path / name / "run.json").read_text()) for name in ("first", "centre")
    }
    assert "needle_part" not in content["first"]["identity"]
    assert content["centre"]["identity"]["needle_part"] == "centre"
    noted = [any("over the whole clip" in n for n in each["notes"]) for each in content.values()]
    assert noted == [True, False]
    with pytest.raises(NiahError, match="needle_part is "):
        material.run(tmp_path / "first", **options, needle_part="centre")


def test_the_seed_of_noise_is_apart_from_the_choice_of_clips(
    tmp_path: Path, material: Material
) -> None:
    first = material.run(tmp_path / "a", haystack="gaussian", lengths=[12], limit=4)
    other = material.run(tmp_path / "b", haystack="gaussian", lengths=[12], limit=4, noise_seed=3)
    identities = [
        json.loads((tmp_path / name / "run.json").read_text())["identity"] for name in ("a", "b")
    ]
    assert "noise_seed" not in identities[0]
    assert identities[1].pop("noise_seed") == 3
    assert identities[0] == identities[1]
    ids = [set(table["cell"]) for table in (first, other)]
    assert len(ids[0] & ids[1]) == 1  # the needle alone knows no noise
    noisy = [
        RunDirectory(tmp_path / name).read_scores(table.query("length_s == 12")["cell"].iloc[0])
        for name, table in (("a", first), ("b", other))
    ]
    assert noisy[0].ids == noisy[1].ids
    assert (noisy[0].logits != noisy[1].logits).any(axis=1).all()


def test_the_same_clips_in_another_order_have_one_hash(tmp_path: Path, material: Material) -> None:
    needles = []
    for seed in (0, 2):
        material.run(tmp_path / str(seed), haystack="zero", lengths=[10], seed=seed)
        needles.append(json.loads((tmp_path / str(seed) / "run.json").read_text()))
    identities = [each["identity"] for each in needles]
    assert identities[0]["ids_sha256"] != identities[1]["ids_sha256"]
    assert needles[0]["needles"] == needles[1]["needles"]
    assert len(needles[0]["needles"]["clips_sha256"]) == 64
