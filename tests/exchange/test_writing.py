"""`niah scenes`: sounds to half a step, a manifest without labels, resuming, gains, disks."""

import hashlib
import json
import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from niah.errors import NiahError
from niah.exchange.scene_set import read_answers
from niah.exchange.sound import FORMATS, largest_gain, write_sound
from niah.scenes.lazy import Scene
from tests.exchange.conftest import PLAN, Material
from tests.helpers import tiny


def test_the_needle_alone_is_the_clip_to_half_a_step(material: Material, scenes: Path) -> None:
    manifest = pd.read_csv(scenes / "manifest.csv")
    base = manifest[manifest["haystack"] == "none"]
    answers = {answer.scene: answer for cell in read_answers(scenes).values() for answer in cell}
    assert len(base) == 6
    for scene, file in zip(base["scene"], base["file"], strict=True):
        clip, _ = soundfile.read(material.folder / "clips" / f"{answers[scene].clip}.wav")
        written, rate = soundfile.read(scenes / file)
        assert rate == 16000
        assert np.abs(written - clip).max() <= 2**-16 + 1e-9


def test_the_manifest_names_every_file_and_no_label(scenes: Path) -> None:
    manifest = pd.read_csv(scenes / "manifest.csv", dtype=str)
    sounds = sorted(p.relative_to(scenes).as_posix() for p in scenes.glob("sounds/*/*"))
    assert sorted(manifest["file"]) == sounds
    for file, stated in zip(manifest["file"], manifest["sha256"], strict=True):
        assert hashlib.sha256((scenes / file).read_bytes()).hexdigest() == stated
    text = (scenes / "manifest.csv").read_text()
    assert not any(word in text for word in (*tiny.IDS, "low", "high", ".wav"))
    free = manifest[manifest["control"] == "needle-free"]
    # silence without a needle is one scene for all clips
    assert free.groupby("haystack").size().to_dict() == {"gaussian": 18, "silence": 3}
    answers = read_answers(scenes)
    assert all(len(clips) == 6 for clips in answers.values())
    assert sum(not clip.labels for clips in answers.values() for clip in clips) == 36
    assert len((scenes / "README.txt").read_text().splitlines()) == 3


def test_a_second_call_writes_what_is_missing(material: Material, scenes: Path) -> None:
    out = material.folder / "resumed"
    shutil.copytree(scenes, out)
    whole = (out / "manifest.csv").read_text()
    first, second = sorted(out.glob("sounds/*/*"))[:2]
    first.unlink()
    (out / "manifest.csv").unlink()
    before = second.stat().st_mtime_ns
    assert material.write("resumed").scenes == 1
    assert (out / "manifest.csv").read_text() == whole
    assert second.stat().st_mtime_ns == before
    assert material.write("resumed").scenes == 0


def test_a_damaged_scene_is_made_again_and_a_link_is_not_followed(
    material: Material, tmp_path: Path
) -> None:
    plan = {"haystacks": ("silence",), "lengths_s": (10.0,)}
    material.write("damaged", plan=plan)
    out, notes = material.folder / "damaged", list[str]()
    file = sorted(out.glob("sounds/*/*.flac"))[0]
    whole = file.read_bytes()
    file.write_bytes(whole[:-9] + bytes((whole[-9] ^ 1,)) + whole[-8:])
    material.write("damaged", plan=plan, note=notes.append)
    assert file.read_bytes() == whole
    assert f"{file} was changed or damaged since it was written: it is made again" in notes
    for part in (file, out / "manifest.csv", out / "sounds"):
        moved = part.rename(tmp_path / part.name)
        part.symlink_to(moved)
        with pytest.raises(NiahError, match=f"{part.name} is a symbolic link, .* in a scenes dir"):
            material.write("damaged", plan=plan)
        part.unlink()
        moved.rename(part)


def test_more_lengths_amend(material: Material) -> None:
    short = {"haystacks": ("silence",), "lengths_s": (10.0,)}
    assert material.write("amended", plan=short).scenes == 6
    longer = {**short, "lengths_s": (12.0,)}
    assert material.write("amended", plan=longer, dry_run=True).scenes == 6
    assert len(read_answers(material.folder / "amended")) == 1  # of a dry run nothing
    assert material.write("amended", plan=longer).scenes == 6
    assert len(read_answers(material.folder / "amended")) == 2
    assert len(pd.read_csv(material.folder / "amended" / "manifest.csv")) == 12


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"plan": {**PLAN, "seed": 1}}, "holds other scenes (.*seed is 0 there, 1 now"),
        ({"format_name": "flac24"}, "format is flac16 there, flac24 now"),
        ({"gain_db": -3.0}, "gain_db is 0.0 there, -3.0 now"),
        ({"plan": {**PLAN, "protocol": "dass-v1", "lengths_s": (10.0,)}}, "dass-v1"),
        ({"plan": {**PLAN, "haystacks": ("zero",)}}, "zero"),
        ({"format_name": "mp3"}, "--format 'mp3': unknown"),
    ],
)
def test_other_scenes_are_refused(
    changes: dict[str, object], message: str, material: Material, scenes: Path
) -> None:
    before = (scenes / "scenes.json").read_bytes()
    with pytest.raises(NiahError, match=message.replace("(", r"\(")):
        material.write("scenes", **changes)  # type: ignore[arg-type]
    assert (scenes / "scenes.json").read_bytes() == before


def test_one_gain_keeps_every_scene_below_full_scale(material: Material) -> None:
    loud = {"haystacks": ("gaussian",), "lengths_s": (10.0,), "snrs_db": (40.0,)}
    with pytest.raises(NiahError, match=r"would clip at a gain of 0 dB, their peak is .*--gain -"):
        material.write("fitting", plan=loud, gain_db=0.0)
    assert not list(material.folder.glob("fitting/scenes.json"))
    quiet = {**loud, "snrs_db": (0.0,)}
    material.write("amended-loud", plan=quiet)
    before = (material.folder / "amended-loud" / "scenes.json").read_bytes()
    with pytest.raises(NiahError, match="would clip at a gain of 0 dB"):
        material.write("amended-loud", plan=loud)
    assert (material.folder / "amended-loud" / "scenes.json").read_bytes() == before
    material.write("fitting", plan=loud)
    gain = json.loads((material.folder / "fitting" / "scenes.json").read_text())["sound"]["gain_db"]
    peaks = [
        np.abs(soundfile.read(file, dtype="int16")[0].astype(int)).max()
        for file in material.folder.glob("fitting/sounds/*/*")
    ]
    assert gain < 0
    assert 32767 * 10 ** (-0.2 / 20) <= max(peaks) <= 32767


@pytest.mark.parametrize(
    ("name", "step"), [("flac16", 2**-16), ("flac24", 2**-24), ("wav-float", 0)]
)
def test_a_sound_is_read_back_to_half_a_step(name: str, step: float, tmp_path: Path) -> None:
    rows = torch.rand(40_000, 10, generator=torch.Generator().manual_seed(0)) * 2 - 1
    rows[:2, :2] = torch.tensor([[1 - 2**-15, -1 + 2**-15], [0.0, -0.0]])
    rows.clamp_(-1 + 2**-15, 1 - 2**-15)
    file = tmp_path / f"scene{FORMATS[name].suffix}"
    write_sound(file, Scene.of_rows(rows), 16000, FORMATS[name], 0.0)
    written, rate = soundfile.read(file, dtype="float64")
    assert (rate, written.shape) == (16000, (400_000,))
    assert np.abs(written - rows.double().numpy().reshape(-1)).max() <= step


@pytest.mark.parametrize(("peak", "gain"), [(0.5, 6.0), (1.0, -0.1), (2.0, -6.1), (0.0, np.inf)])
def test_the_largest_gain_keeps_the_peak_below_full_scale(peak: float, gain: float) -> None:
    assert largest_gain(peak, FORMATS["flac16"]) == gain
    assert largest_gain(peak, FORMATS["wav-float"]) == np.inf


def test_a_small_disk_is_refused_before_anything_is_written(
    material: Material, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "free")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(1000))
    plan = {"haystacks": ("silence",), "lengths_s": (10.0,)}
    with pytest.raises(NiahError, match=r"6 scenes, .* at most .* GB, and .* free: .*--yes"):
        material.write("small", plan=plan)
    assert not list((material.folder / "small").iterdir())
    assert material.write("small", plan=plan, yes=True).scenes == 6


def test_a_folder_of_other_files_is_left_alone(material: Material) -> None:
    with pytest.raises(NiahError, match="not empty and holds no scenes"):
        material.write("clips")
