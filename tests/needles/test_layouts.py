"""Folders as people have them: hidden files, several containers of a clip, shards of several splits."""

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import soundfile

from niah.audio import AudioError
from niah.errors import NiahError
from niah.haystacks import load_haystack
from niah.needles import load_needles, waveform
from niah.needles.verify import verify
from niah.system.folder_walk import files_below
from niah.vocabularies import vocabulary

AUDIOSET = vocabulary("audioset-527")
RATE = 16_000
APPLE_DOUBLE = b"\0\5\26\7\0\2\0\0Mac OS X        "
M4A = b"\0\0\0\x18ftypM4A \0\0\0\0M4A mp42isom"


def sound(seed: int = 0, form: str = "WAV") -> bytes:
    out = io.BytesIO()
    noise = 0.1 * np.random.default_rng(seed).standard_normal(RATE // 10)
    soundfile.write(out, noise, RATE, format=form)
    return out.getvalue()


def with_hidden_files(folder: Path, names: Sequence[str]) -> None:
    """Add what macOS, ZIP archives and downloaders leave beside the files of these names."""
    for name in names:
        for hidden in (f"._{name}", f"__MACOSX/._{name}", f"__MACOSX/{name}", f".cache/hub/{name}"):
            (folder / hidden).parent.mkdir(parents=True, exist_ok=True)
            (folder / hidden).write_bytes(APPLE_DOUBLE)
    (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")


def shard(path: Path, ids: Sequence[str], **columns: Sequence[object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    content: dict[str, object] = {
        "video_id": list(ids),
        "labels": [["/m/09x0r"]] * len(ids),
        "audio": [{"bytes": sound(form="FLAC"), "path": None}] * len(ids),
        **columns,
    }
    pyarrow.parquet.write_table(pyarrow.table(content), path)
    return path


def ids_of(spec: Path | str) -> set[str]:
    return {needle.id for needle in load_needles(spec, vocabulary=AUDIOSET).needles}


def test_hidden_files_are_passed_over_in_every_folder(tmp_path: Path) -> None:
    names = [f"v{index}.wav" for index in range(3)]
    for index, name in enumerate(names):
        (tmp_path / "clean" / "deep").mkdir(parents=True, exist_ok=True)
        (tmp_path / "clean" / "deep" / name).write_bytes(sound(index))
    clean = load_haystack(tmp_path / "clean"), load_haystack("babble", babble=tmp_path / "clean")
    with_hidden_files(tmp_path / "clean", names)
    with_hidden_files(tmp_path / "clean" / "deep", names)
    assert len(files_below(tmp_path / "clean", (".wav",))) == 3
    again = load_haystack(tmp_path / "clean"), load_haystack("babble", babble=tmp_path / "clean")
    assert [each.fingerprint for each in again] == [each.fingerprint for each in clean]
    shard(tmp_path / "set" / "data" / "eval00.parquet", ["a", "b"])
    with_hidden_files(tmp_path / "set", ["eval00.parquet"])
    with_hidden_files(tmp_path / "set" / "data", ["eval00.parquet"])
    assert ids_of(tmp_path / "set") == {"a", "b"}


def test_a_link_that_leads_nowhere_is_no_smaller_set(tmp_path: Path) -> None:
    """Files that git-annex has not fetched, or a link to itself: the clips that are there were taken for all."""
    for index in range(3):
        (tmp_path / "Speech").mkdir(exist_ok=True)
        (tmp_path / "Speech" / f"{index}.wav").write_bytes(sound(index))
    (tmp_path / "Speech" / "3.wav").symlink_to("../.git/annex/objects/3.wav")
    (tmp_path / "Speech" / "4.wav").symlink_to("4.wav")
    needles = load_needles(tmp_path, vocabulary=AUDIOSET)
    assert len(needles) == 5
    unreadable = verify(needles, RATE).unreadable
    assert {reason: set(ids) for reason, ids in unreadable.items()} == {"missing": {"3", "4"}}
    with pytest.raises(NiahError, match=r"3\.wav: no such file"):
        load_haystack("babble", babble=tmp_path / "Speech")


def test_of_two_containers_that_which_can_be_decoded_is_taken(tmp_path: Path) -> None:
    for name, content in (("a.m4a", M4A), ("a.wav", sound()), ("b.m4a", M4A), ("._a.wav", b"")):
        (tmp_path / name).write_bytes(content)
    rows = "".join(f'{name}, 0.000, 10.000, "/m/09x0r"\n' for name in "ab")
    (tmp_path / "segments.csv").write_text(rows)
    needles = {
        needle.id: needle
        for needle in load_needles(tmp_path / "segments.csv", vocabulary=AUDIOSET).needles
    }
    assert len(waveform(needles["a"], RATE).samples) == RATE // 10
    with pytest.raises(AudioError, match=r"b\.m4a.* is MP4 or M4A .*convert it"):
        waveform(needles["b"], RATE)


@pytest.mark.parametrize(
    "names",
    [
        ("bal_train00", "bal_train01", "eval00"),
        ("train-00000-of-00001", "train2", "test-00000-of-00001"),
        ("train/0", "train/1", "validation/0"),
        ("data/unbal_train_7", "data/unbal_train_8", "data/0"),
    ],
)
def test_shards_of_several_splits_are_not_mixed(tmp_path: Path, names: Sequence[str]) -> None:
    for index, name in enumerate(names):
        shard(tmp_path / f"{name}.parquet", [f"clip{index}"])
    with pytest.raises(NiahError, match=r"several splits .*choose by"):
        ids_of(tmp_path)
    training = "bal_train" if "bal_train00" in names else "train"
    training = "unbal_train" if "unbal" in names[0] else training
    assert ids_of(f"{tmp_path}?split={training}") == {"clip0", "clip1"}
    with pytest.raises(NiahError, match="no shard is of the split other; there are"):
        ids_of(f"{tmp_path}?split=other")


def test_shards_of_one_split_or_of_a_column_are_a_set(tmp_path: Path) -> None:
    for index, name in enumerate(("latest", "attest", "evaluate")):  # no words for splits
        shard(tmp_path / "one" / f"{name}.parquet", [f"clip{index}"])
    assert ids_of(tmp_path / "one") == {"clip0", "clip1", "clip2"}
    shard(tmp_path / "own" / "train.parquet", ["a", "b"], split=["x", "y"])
    assert ids_of(f"{tmp_path / 'own'}?split=y") == {"b"}


def test_shards_of_one_name_in_two_folders(tmp_path: Path) -> None:
    for folder in "ab":
        shard(tmp_path / folder / "0.parquet", ["x", folder])
    assert ids_of(tmp_path) == {"a", "b", "a/0:0:0", "b/0:0:0"}


def invalid_text(path: Path) -> None:
    bad = pyarrow.array([b"caf\xe9"], pyarrow.binary()).view(pyarrow.string())
    shard(path, ["a"], title=bad)


def a_date_beyond_calendars(path: Path) -> None:
    shard(path, ["a"], date=pyarrow.array([2**62], pyarrow.timestamp("us")))


def damaged_page(path: Path) -> None:
    shard(path, [f"clip{index}" for index in range(200)])
    content = bytearray(path.read_bytes())
    content[4:60] = bytes(56)
    path.write_bytes(content)


def long_texts(path: Path) -> None:
    shard(path, ["a"] * 100, title=["x" * 1_000_000] * 100)


def too_many_rows(path: Path) -> None:
    nulls: Mapping[str, object] = {
        "video_id": pyarrow.nulls(9_000_000, pyarrow.string()),
        "labels": pyarrow.nulls(9_000_000, pyarrow.string()),
        "audio": pyarrow.nulls(9_000_000, pyarrow.struct([("bytes", pyarrow.binary())])),
    }
    pyarrow.parquet.write_table(pyarrow.table(dict(nulls)), path)


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (invalid_text, r"row group 0: is damaged \(.*utf-8"),
        (damaged_page, "row group 0: is damaged"),
        (a_date_beyond_calendars, "row group 0: is damaged"),
        (long_texts, "drop the columns"),
        (too_many_rows, "has 9000000 rows"),
    ],
)
def test_malformed_shards_are_refused_in_one_line(
    tmp_path: Path, write: Callable[[Path], None], reason: str
) -> None:
    write(tmp_path / "x.parquet")
    with pytest.raises(NiahError, match=reason) as error:
        ids_of(tmp_path / "x.parquet")
    assert "\n" not in str(error.value)
