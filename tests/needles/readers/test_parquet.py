"""Parquet files with embedded audio."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from niah.audio import AudioError
from niah.errors import NiahError
from niah.needles import load_needles, waveform
from tests.helpers.clip_files import (
    AUDIOSET,
    ESC10,
    ESC50,
    RATE,
    by_id,
    flac_bytes,
    groups,
    tone,
    write_parquet,
)


def test_audioset_parquet_shards(tmp_path: Path) -> None:
    pitches = {f"id{i:02d}": 300.0 + 50 * i for i in range(25)}
    for shard, ids in enumerate((list(pitches)[:20], list(pitches)[20:])):
        audio = [
            {"bytes": flac_bytes(tmp_path, pitches[id_]), "path": f"audio/{id_}.flac"}
            for id_ in ids
        ]
        write_parquet(
            tmp_path / "data" / f"{shard:02d}.parquet",
            {
                "video_id": ids,
                "audio": audio,
                "labels": [["/m/09x0r", "/m/0jbk"]] * len(ids),
                "human_labels": [["Speech", "Animal"]] * len(ids),
            },
            group=12,
        )
    needles = load_needles(tmp_path / "data", vocabulary=AUDIOSET)
    assert set(by_id(needles)) == set(pitches)
    for needle in needles.needles:
        assert needle.labels == ("/m/09x0r", "/m/0jbk")
        sound = waveform(needle, RATE).samples
        np.testing.assert_allclose(sound, tone(pitches[needle.id]), atol=1e-4)
    digests = {needle.source.digest() for needle in needles.needles}
    assert len(digests) == 25
    one = load_needles(tmp_path / "data" / "01.parquet", vocabulary=AUDIOSET)
    assert set(by_id(one)) == set(list(pitches)[20:])
    expected = hashlib.sha256(flac_bytes(tmp_path, pitches["id20"])).hexdigest()
    assert by_id(one)["id20"].source.digest() == expected


def test_esc50_parquet(tmp_path: Path) -> None:
    content = flac_bytes(tmp_path, 440)
    write_parquet(
        tmp_path / "esc.parquet",
        {
            "filename": ["1-a.wav", "2-b.wav", "2-c.wav"],
            "fold": [1, 2, 2],
            "category": ["dog", "rain", "hen"],
            "esc10": [True, True, False],
            "audio": [{"bytes": content, "path": None}, {"bytes": None, "path": "x"}, None],
        },
    )
    needles = by_id(load_needles(f"{tmp_path}/esc.parquet?fold=2", vocabulary=ESC10))
    assert set(needles) == {"2-b"}
    every = by_id(load_needles(tmp_path / "esc.parquet", vocabulary=ESC50))
    assert len(waveform(every["1-a"], RATE).samples) == RATE // 10
    for id_ in ("2-b", "2-c"):
        with pytest.raises(AudioError, match="no audio bytes"):
            waveform(every[id_], RATE)


def test_parquet_names_recordings(tmp_path: Path) -> None:
    audio = [{"bytes": b"", "path": None}] * 2
    labels = [["/m/09x0r"]] * 2
    columns: dict[str, Sequence[object]] = {"id": ["a", "b"], "audio": audio, "labels": labels}
    write_parquet(tmp_path / "a.parquet", columns)
    assert groups(load_needles(tmp_path / "a.parquet", vocabulary=AUDIOSET)) == {"a": "a", "b": "b"}
    write_parquet(tmp_path / "b.parquet", {**columns, "group": ["x", "x"]})
    assert groups(load_needles(tmp_path / "b.parquet", vocabulary=AUDIOSET)) == {"a": "x", "b": "x"}
    write_parquet(tmp_path / "c.parquet", {**columns, "video_id": ["v", "w"]})
    assert groups(load_needles(tmp_path / "c.parquet", vocabulary=AUDIOSET)) == {"v": "v", "w": "w"}


def test_the_licence_of_parquet_is_its_own(tmp_path: Path) -> None:
    """Parquet of AudioSet's layout is AudioSet's; a set of one's own states its licence, or none."""
    audio = [{"bytes": b"", "path": None}] * 2
    columns: dict[str, Sequence[object]] = {"audio": audio, "labels": [["/m/09x0r"]] * 2}
    for name, further, licence in (
        ("own", {}, "not stated by the table"),
        ("stated", {"licence": ["CC0", "CC BY"]}, "CC0 (1), CC BY (1)"),
        ("audioset", {"video_id": ["v", "w"]}, "labels CC BY 4.0 (AudioSet)"),
    ):
        write_parquet(tmp_path / f"{name}.parquet", {**columns, **further})
        loaded = load_needles(tmp_path / f"{name}.parquet", vocabulary=AUDIOSET)
        assert loaded.licence.startswith(licence)


def test_columns_of_other_names_are_chosen_as_the_message_says(tmp_path: Path) -> None:
    """The advice was followed by a filter on a column that is not there, and by the same message."""
    sounds = [{"bytes": b"", "path": f"{name}.wav"} for name in "ab"]
    file = tmp_path / "a.parquet"
    write_parquet(file, {"one": sounds, "two": sounds, "Kind": ["/m/09x0r", "/m/04rlf"]})
    with pytest.raises(NiahError, match=r"choose one by '\?audio=NAME'"):
        load_needles(file, vocabulary=AUDIOSET)
    with pytest.raises(NiahError, match=r"choose one by '\?labels=NAME'"):
        load_needles(f"{file}?audio=two", vocabulary=AUDIOSET)
    needles = load_needles(f"{file}?audio=two&labels=kind", vocabulary=AUDIOSET).needles
    assert {needle.source.column for needle in needles} == {"two.bytes"}  # type: ignore[attr-defined]
    assert len(needles) == 2
    write_parquet(file, {"audio": sounds, "labels": ["/m/09x0r", "/m/04rlf"]})
    assert len(load_needles(f"{file}?labels=/m/09X0R", vocabulary=AUDIOSET)) == 1  # still a filter


def test_times_of_events_are_not_read_and_noted(tmp_path: Path) -> None:
    audio = [{"bytes": flac_bytes(tmp_path, 440.0), "path": "a.flac"}]
    write_parquet(
        tmp_path / "a.parquet",
        {"audio": audio, "labels": [["/m/09x0r"]], "start_time": [3.5]},
    )
    (note,) = load_needles(tmp_path / "a.parquet", vocabulary=AUDIOSET).notes
    assert "'start_time' not read" in note


def test_a_shard_that_is_written_again_is_read_again(tmp_path: Path) -> None:
    """In one process, as a notebook's: the rows that were read last were returned for those of the new file."""
    file = tmp_path / "a.parquet"
    for hertz in (440.0, 550.0):
        content = flac_bytes(tmp_path, hertz)
        audio = [{"bytes": content, "path": "a.flac"}]
        write_parquet(file, {"audio": audio, "labels": [["/m/09x0r"]]})
        (needle,) = load_needles(file, vocabulary=AUDIOSET).needles
        assert needle.source.digest() == hashlib.sha256(content).hexdigest()


def test_broken_parquet(tmp_path: Path) -> None:
    file = tmp_path / "x.parquet"
    file.write_bytes(b"not parquet")
    with pytest.raises(NiahError, match="is not a Parquet file"):
        load_needles(file, vocabulary=AUDIOSET)
    audio: list[object] = [{"bytes": b"x", "path": None}]
    broken: list[tuple[dict[str, list[object]], str]] = [
        ({"video_id": ["a"], "labels": [["/m/09x0r"]]}, "lacks the column 'audio'"),
        ({"video_id": ["a"], "audio": ["path.wav"], "labels": [["x"]]}, "embedded 'bytes'"),
        ({"video_id": ["a"], "audio": audio}, "lacks a column 'labels'"),
        ({"video_id": ["a"], "audio": audio, "labels": [["/m/zzz"]]}, "row 0: label '/m/zzz'"),
        ({"video_id": ["a"], "audio": audio, "labels": [[]]}, "row 0: has no label"),
    ]
    for columns, message in broken:
        write_parquet(file, columns)
        with pytest.raises(NiahError, match=message):
            load_needles(file, vocabulary=AUDIOSET)
