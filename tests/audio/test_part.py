"""Parts of recordings: what a whole file's decoder gives there, in every container and however its length is told."""

import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from niah.audio import AudioError, containers, load, part
from niah.audio.loading import decode_file
from niah.audio.part import load_part
from tests.audio.test_kinds import SECONDS, WRITTEN, encoded, mp3, without_header

LAST = (0.75 * SECONDS, 0.95 * SECONDS)  # behind the first half
KINDS = {each[0]: each for each in WRITTEN.values()}  # one coding of each container, and WAV's all
KINDS |= {kind: each for kind, each in WRITTEN.items() if each[0] == "WAV"}


def _file(folder: Path, content: bytes) -> Path:
    path = folder / "recording"
    path.write_bytes(content)
    return path


def _placeholder(content: bytes, value: int) -> bytes:
    sound = containers._sound(content)
    assert sound is not None
    stated = bytearray(content)
    struct.pack_into(sound.form, stated, sound.field, value)
    return bytes(stated)


def test_a_part_is_what_the_whole_has_there_in_every_container(tmp_path: Path) -> None:
    for kind, (_, _, _, content) in KINDS.items():
        path = _file(tmp_path, content)
        known = soundfile.info(
            path
        ).samplerate  # some containers keep a rate near the one asked for
        whole = load(content, known).samples
        start_s, stop_s = (0.75 * len(whole) / known, 0.95 * len(whole) / known)
        read = load_part(path, known, start_s, stop_s).samples
        expected = whole[round(start_s * known) : round(stop_s * known)]
        np.testing.assert_allclose(read, expected, atol=1e-6, err_msg=kind)


@pytest.mark.parametrize(
    "content",
    [
        without_header(mp3()),
        containers.without_flac_frames(encoded(16000, "FLAC")),
        _placeholder(encoded(16000, "WAV"), 0),
        _placeholder(encoded(16000, "WAV"), 0x7FFFF000),
        _placeholder(encoded(16000, "WAV"), 20000),  # as a size past 4 GiB wraps
        _placeholder(encoded(16000, "AIFF"), 0xFFFFFFFF),
        encoded(16000, "OGG") * 2,
        mp3() * 2,
    ],
    ids=["MP3 from a pipe", "FLAC from a pipe", "0", "SoX", "wrapped", "AIFF", "Ogg", "MP3"],
)
def test_events_behind_a_length_that_is_wrong_are_found(tmp_path: Path, content: bytes) -> None:
    path, whole = _file(tmp_path, content), load(content, 16000).samples
    end_s = len(whole) / 16000
    for start_s in (0.1, 0.75 * end_s):
        read = load_part(path, 16000, start_s, start_s + 0.2).samples
        at = round(start_s * 16000)
        np.testing.assert_allclose(read, whole[at : at + 3200], atol=1e-6)
    for start_s, what in ((end_s + 1, "begins"), (end_s - 0.5, "ends")):
        with pytest.raises(AudioError, match=f"{what} behind the recording's end at") as caught:
            load_part(path, 16000, start_s, end_s + 2)
        assert caught.value.reason == "past-end"  # the recording is not empty


@pytest.mark.parametrize("container", ["WAV", "AIFF", "AU", "W64", "RF64", "FLAC", "OGG"])
def test_what_was_cut_off_is_truncated_not_behind_the_end(tmp_path: Path, container: str) -> None:
    content = encoded(16000, container)
    path = _file(tmp_path, content[: len(content) // 2])
    with pytest.raises(AudioError) as caught:
        load_part(path, 16000, *LAST)
    assert caught.value.reason == "truncated"


def test_a_recording_that_cannot_be_sought_in_is_decoded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _file(tmp_path, without_header(mp3()))
    decoded: list[Path] = []

    def counted(path: Path) -> tuple[NDArray[np.float32], int]:
        decoded.append(path)
        return decode_file(path)

    monkeypatch.setattr(part, "decode_file", counted)
    for start_s in (0.2, 0.5, 1.0):
        load_part(path, 16000, start_s, start_s + 0.1)
    assert decoded == [path]
    path.write_bytes(without_header(mp3(24000)))  # another file under the same name
    assert load_part(path, 16000, 0.2, 0.4).notes == ("resampled from 24000 Hz",)
    assert len(decoded) == 2


@pytest.mark.parametrize("remembered", [1, 1 << 29])
def test_threads_read_parts_of_recordings_beside_each_other(
    remembered: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[Path] = []

    def counted(path: Path) -> tuple[NDArray[np.float32], int]:
        decoded.append(path)
        return decode_file(path)

    monkeypatch.setattr(part, "decode_file", counted)
    monkeypatch.setattr(part, "_REMEMBERED_BYTES", remembered)
    paths = [tmp_path / f"{number}" for number in range(4)]
    for path in paths:
        path.write_bytes(without_header(mp3()))
    places = [(path, 0.1 * place) for place in range(12) for path in paths]
    alone = [load_part(path, 16000, start_s, start_s + 0.1).samples for path, start_s in places]
    decoded.clear()
    part._recent.clear()
    with ThreadPoolExecutor(8) as pool:
        together = list(
            pool.map(lambda each: load_part(each[0], 16000, each[1], each[1] + 0.1).samples, places)
        )
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)
    if remembered > 1:
        assert sorted(decoded) == paths  # each once
