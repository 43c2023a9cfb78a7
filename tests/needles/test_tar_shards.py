"""Tar shards in webdataset's layout: clips, labels, filters, and shards that are refused."""

import io
import json
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import soundfile

from niah.audio import AudioError
from niah.errors import NiahError
from niah.needles import NeedleSet, load_needles
from niah.vocabularies import vocabulary

ESC = vocabulary("esc-50")


def sound(index: int) -> bytes:
    """A second of noise as FLAC."""
    content = io.BytesIO()
    noise = 0.1 * np.random.default_rng(index).standard_normal(16000)
    soundfile.write(content, noise, 16000, format="FLAC")
    return content.getvalue()


def shard(path: Path, files: Mapping[str, bytes | str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as stream:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            stream.addfile(entry, io.BytesIO(data))
    return path


def loaded(path: Path | str, *, strict: bool = False) -> NeedleSet:
    return load_needles(path, vocabulary=ESC, strict=strict)


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (("train-000.tar", "val-000.tar"), "train, val"),
        (("train/0.tar", "test/0.tar"), "test, train"),
        (("0.tar", "eval.tar"), r"\(none\), eval"),
    ],
)
def test_training_and_evaluation_shards_are_not_mixed(
    tmp_path: Path, names: tuple[str, str], splits: str
) -> None:
    for index, name in enumerate(names):
        shard(tmp_path / name, {f"{'ab'[index]}.flac": sound(index), f"{'ab'[index]}.cls": "dog"})
    with pytest.raises(NiahError, match=rf"shards are of several splits \({splits}\)"):
        loaded(tmp_path)
    wanted = splits.rpartition(" ")[2]
    (only,) = loaded(f"{tmp_path}?split={wanted}").needles
    assert f"{wanted}" in str(only.source.name)


def test_clips_have_the_sounds_and_labels_that_stand_beside_them(tmp_path: Path) -> None:
    two = {"labels": ["dog", "rain"], "video_id": "v1", "fold": 2}
    shard(
        tmp_path / "set" / "train-000.tar",
        {
            **{"a.flac": sound(0), "a.json": json.dumps(two)},
            **{"b.cls": "cat", "b.flac": sound(1), "b.png": b"x"},
            **{"deep/c.d.flac": sound(9), "deep/e.flac": sound(2), "deep/e.txt": "dog;rain"},
        },
    )
    shard(tmp_path / "set" / "train-001.tar", {"a.flac": sound(3), "a.txt": "rain"})
    needles = {needle.id: needle for needle in loaded(tmp_path / "set").needles}
    assert set(needles) == {"train-000:a", "train-001:a", "b", "e"}
    names = {id_: set(needle.labels) for id_, needle in needles.items()}
    assert names["train-000:a"] == names["e"] == {ESC.id_of("dog"), ESC.id_of("rain")}
    assert names["b"] == {ESC.id_of("cat")}
    assert needles["train-000:a"].group == "v1"
    assert needles["b"].group == "b"
    for id_, index in (("train-000:a", 0), ("b", 1), ("e", 2), ("train-001:a", 3)):
        samples, _ = soundfile.read(io.BytesIO(sound(index)), dtype="float32")
        np.testing.assert_array_equal(needles[id_].source.waveform(16000).samples, samples)
    assert len({needle.source.digest() for needle in needles.values()}) == 4
    filtered = loaded(f"{tmp_path}/set/train-000.tar?fold=2")
    assert [needle.id for needle in filtered.needles] == ["a"]


def test_labels_that_are_not_in_the_vocabulary_are_noted(tmp_path: Path) -> None:
    path = shard(
        tmp_path / "x.tar",
        {"a.flac": sound(0), "a.cls": "dog", "b.flac": sound(1), "b.cls": "yeti"},
    )
    needles = loaded(path)
    assert len(needles) == 1
    assert any("yeti" in note for note in needles.notes)
    with pytest.raises(NiahError, match=r"x\.tar, b\.flac.*yeti"):
        loaded(path, strict=True)


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "holds no sounds"),
        ({"a.txt": "dog"}, "holds no sounds"),
        ({"a.flac": b"", "a.json": "{"}, r"a\.json: cannot be read"),
        ({"a.flac": b"", "a.json": "[]"}, "must hold an object"),
        ({"a.flac": b"", "a.json": '{"labels": [1]}'}, "must be a text"),
        ({"a.flac": b"", "a.txt": b"\xff\xfe"}, "cannot be read"),
        ({"a.flac": b"", "b.flac": b"", "a.txt": "dog"}, "do not stand side by side"),
        ({"a.flac": b"", "a.wav": b""}, "has two sounds"),
        ({"a.flac": b"", "a.txt": "x" * (1 << 20 | 1)}, "too large for labels"),
    ],
)
def test_malformed_shards_are_refused_in_one_line(
    files: dict[str, bytes | str], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(NiahError, match=reason) as error:
        loaded(shard(tmp_path / "x.tar", files))
    assert "\n" not in str(error.value)


def test_what_is_no_plain_tar_is_refused(tmp_path: Path) -> None:
    import gzip

    whole = shard(tmp_path / "x.tar", {"a.flac": sound(0), "a.cls": "dog"})
    packed = tmp_path / "packed.tar"
    packed.write_bytes(gzip.compress(whole.read_bytes()))
    with pytest.raises(NiahError, match=r"not a plain tar file.*unpack it"):
        loaded(packed)
    (tmp_path / "text.tar").write_text("dear " * 1000)
    with pytest.raises(NiahError, match="not a plain tar file"):
        loaded(tmp_path / "text.tar")
    os.mkfifo(tmp_path / "pipe.tar")
    with pytest.raises(NiahError, match="not a regular file"):
        loaded(tmp_path / "pipe.tar")


def test_links_in_a_shard_lead_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as stream:
        link = tarfile.TarInfo("a.flac")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        stream.addfile(link)
        for name, content in (("b.flac", sound(0)), ("b.cls", b"dog")):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            stream.addfile(entry, io.BytesIO(content))
    assert [needle.id for needle in loaded(path).needles] == ["b"]


def test_a_shard_that_was_cut_since_is_a_bad_clip(tmp_path: Path) -> None:
    path = shard(tmp_path / "x.tar", {"a.cls": "dog", "a.flac": sound(0)})
    (needle,) = loaded(path).needles
    os.truncate(path, 3000)
    with pytest.raises(AudioError, match="ends before it does"):
        needle.source.read()  # type: ignore[attr-defined]
