"""Clips that cannot be used are named, counted and listed; the run goes on without them, or stops under --strict."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from tests.helpers import tiny
from tests.helpers.command_line import Material, Niah

BAD = ("missing", "truncated", "silent", "zero-length", "zero-bytes", "nan", "text")


def spoil(path: Path, kind: str) -> None:
    samples = tiny.tone(20).astype(np.float32)
    if kind == "missing":
        path.unlink(missing_ok=True)
    elif kind == "truncated":
        soundfile.write(path, samples, tiny.SAMPLE_RATE)
        path.write_bytes(path.read_bytes()[:100_000])
    elif kind == "silent":
        soundfile.write(path, 0 * samples, tiny.SAMPLE_RATE)
    elif kind == "zero-length":
        soundfile.write(path, samples[:0], tiny.SAMPLE_RATE)
    elif kind == "zero-bytes":
        path.write_bytes(b"")
    elif kind == "nan":
        samples[800] = np.nan
        soundfile.write(path, samples, tiny.SAMPLE_RATE, subtype="FLOAT")
    else:
        path.write_text("This is no sound.\n" * 100)


@pytest.fixture
def spoilt(tmp_path: Path) -> Path:
    """Six good clips and one of every kind of bad one."""
    extra = [(f"{kind}.wav", tiny.IDS[0]) for kind in BAD]
    path = tiny.manifest(tmp_path / "clips", extra=extra)
    for kind in BAD:
        spoil(path.parent / f"{kind}.wav", kind)
    return path


def test_bad_clips_are_named_counted_and_listed(
    niah: Niah, material: Material, tmp_path: Path, spoilt: Path
) -> None:
    out = tmp_path / "out"
    answer = niah(*material.run(out, spoilt))
    assert answer.status == 0, answer.stderr
    assert answer.stderr.startswith("note: 7 of 13 clips left out: ")
    content = json.loads((out / "run.json").read_text())
    assert {clip["id"] for clip in content["excluded_clips"]} == set(BAD)
    for clip in content["excluded_clips"]:
        assert f"{clip['id']}.wav" in clip["reason"]
        assert "\n" not in clip["reason"]
    reasons = {clip["id"]: clip["reason"] for clip in content["excluded_clips"]}
    for kind, word in (
        *(("missing", "no such file"), ("truncated", "truncated"), ("silent", "silent")),
        *(("zero-length", "no samples"), ("zero-bytes", "0 bytes"), ("nan", "NaN")),
        ("text", "not a sound file"),
    ):
        assert word in reasons[kind]
    assert set(pd.read_csv(out / "cells.csv")["n_clips"]) == {6}
    assert "missing.wav" in (out / "report.html").read_text()


@pytest.mark.parametrize("kind", ["missing", "silent"])
def test_strict_stops_at_a_bad_clip(
    niah: Niah, material: Material, tmp_path: Path, kind: str
) -> None:
    clips = tiny.manifest(tmp_path / "clips", 1, [(f"{kind}.wav", tiny.IDS[0])])
    spoil(clips.parent / f"{kind}.wav", kind)
    message = niah(*material.run(tmp_path / "out", clips), "--strict").refusal()
    assert f"{kind}.wav: " in message
    assert not (tmp_path / "out").exists()


def test_no_clip_left_is_refused(niah: Niah, material: Material, tmp_path: Path) -> None:
    clips = tiny.manifest(tmp_path / "clips", 2)
    for file in clips.parent.glob("*.wav"):
        file.unlink()
    message = niah(*material.run(tmp_path / "out", clips)).refusal()
    assert message.startswith("none of the 2 clips of clips/clips.csv can be used; the first: ")
    assert not (tmp_path / "out").exists()


def test_stereo_and_8_khz_are_used_and_told(niah: Niah, material: Material, tmp_path: Path) -> None:
    clips = tiny.manifest(tmp_path / "clips", 3)
    sound = tiny.tone(0)
    soundfile.write(clips.parent / "clip00.wav", np.stack([sound, 0.5 * sound], 1), 16000)
    soundfile.write(clips.parent / "clip01.wav", tiny.tone(1, rate=8000), 8000)
    answer = niah(*material.run(tmp_path / "out", clips))
    assert answer.status == 0
    notes = sorted(answer.stderr.splitlines())
    assert notes == [
        "note: 1 clip: resampled from 8000 Hz (clip01)",
        "note: 1 clip: stereo averaged (clip00)",
    ]
    content = json.loads((tmp_path / "out" / "run.json").read_text())
    assert sorted(content["notes"]) == [note.removeprefix("note: ") for note in notes]
    assert set(pd.read_csv(tmp_path / "out" / "cells.csv")["n_clips"]) == {3}
    line = niah(*material.run(tmp_path / "strict", clips), "--strict").refusal()
    assert "refused under --strict" in line
    assert not (tmp_path / "strict").exists()
