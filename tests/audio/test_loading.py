"""Loading sound: what is kept exactly, what leaves a note, what is refused and why."""

import io
import os
import re
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from niah.audio import AudioError, digest, load, ogg, rms
from niah.audio.mono import FAINT
from niah.audio.part import load_part

RATE = 16000


def noise(n: int = RATE, channels: int = 1) -> np.ndarray:
    sound = 0.1 * np.random.default_rng(0).standard_normal((n, channels))
    return sound.astype(np.float32)


def encoded(sound: np.ndarray, kind: str, rate: int = RATE, **options: str) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, sound, rate, format=kind, **options)
    return stream.getvalue()


def test_float_wav_is_read_exactly_from_path_and_from_bytes(tmp_path: Path) -> None:
    sound = noise()
    content = encoded(sound, "WAV", subtype="FLOAT")
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    for source in (path, content):
        wave = load(source, RATE)
        assert np.array_equal(wave.samples, sound[:, 0])
        assert wave.samples.dtype == np.float32
        assert wave.notes == ()
        assert wave.duration_s == 1.0


def test_rms_of_a_sine_and_of_an_offset() -> None:
    t = np.arange(RATE) / RATE
    assert rms(0.5 * np.sin(2 * np.pi * 100 * t)) == pytest.approx(0.5 / np.sqrt(2), rel=1e-9)
    assert rms(np.full(10, 0.25, dtype=np.float32)) == 0.25  # the mean is not removed
    assert rms(np.zeros(0)) == 0.0


def test_stereo_is_averaged_and_what_is_hardly_a_sound_noted() -> None:
    sound = noise(channels=2)
    wave = load(encoded(sound, "WAV", subtype="FLOAT"), RATE)
    np.testing.assert_allclose(wave.samples, sound.mean(axis=1), atol=1e-7)
    assert wave.notes == ("stereo averaged",)
    sound[:, 1] = -0.8 * sound[:, 0]
    assert load(encoded(sound, "WAV"), RATE).notes[1].startswith("its channels nearly cancel out")
    faint = np.random.default_rng(0).integers(-1, 2, RATE) / 2**15  # dither
    assert load(encoded(faint, "WAV", subtype="FLOAT"), RATE).notes == (FAINT,)
    assert load(encoded(2 * faint, "WAV", subtype="FLOAT"), RATE).notes == ()
    many = noise(channels=12)
    assert load(encoded(many, "WAV"), RATE).notes == ("12 channels averaged",)


def test_8_khz_is_resampled_with_a_note() -> None:
    t8, t16 = np.arange(8000) / 8000, np.arange(RATE) / RATE
    wave = load(encoded(np.sin(2 * np.pi * 440 * t8), "WAV", rate=8000, subtype="FLOAT"), RATE)
    assert wave.notes == ("resampled from 8000 Hz",)
    assert len(wave.samples) == RATE
    middle = slice(1000, -1000)  # the ends ring
    np.testing.assert_allclose(
        wave.samples[middle], np.sin(2 * np.pi * 440 * t16)[middle], atol=1e-3
    )


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"gone\.wav: no such file") as caught:
        load(tmp_path / "gone.wav", RATE)
    assert caught.value.reason == "missing"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"this is not a sound file, whatever it is called", "not-audio"),
        (encoded(noise(0), "WAV"), "empty"),
        (encoded(np.zeros((RATE, 1)), "WAV"), "silent"),
        (encoded(np.full((RATE, 1), 0.25), "WAV"), "silent"),
        (encoded(np.where(np.arange(RATE) == 7, np.nan, 0.1), "WAV", subtype="FLOAT"), "nan"),
        (encoded(np.where(np.arange(RATE) == 7, np.inf, 0.1), "WAV", subtype="FLOAT"), "nan"),
        (encoded(noise(), "WAV")[:20000], "truncated"),
        (encoded(noise(), "WAV", subtype="FLOAT")[:-2], "truncated"),
        (encoded(noise(), "FLAC")[:9000], "truncated"),
        (encoded(noise(), "OGG")[:-500], "truncated"),
        (encoded(noise(), "WAV")[:20], "not-audio"),
    ],
    ids=lambda part: (
        part if isinstance(part, str) else f"{len(part)}-bytes"
    ),  # Ogg has a random number
)
def test_bad_files_say_why_in_one_line(content: bytes, reason: str) -> None:
    with pytest.raises(AudioError) as caught:
        load(content, RATE, name="clip 7")
    assert caught.value.reason == reason
    assert str(caught.value).startswith("clip 7: ")
    assert "\n" not in str(caught.value)


def test_a_folder_is_no_sound(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="is a folder"):
        load(tmp_path, RATE)


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "AIFF", "MP3"])
def test_whole_files_of_any_format_are_not_called_truncated(kind: str) -> None:
    assert len(load(encoded(noise(), kind), RATE).samples) >= RATE


def test_a_wav_streamed_without_a_size_is_whole() -> None:
    content = bytearray(encoded(noise(), "WAV"))
    at = content.index(b"data") + 4
    content[at : at + 4] = b"\xff\xff\xff\xff"
    assert len(load(bytes(content), RATE).samples) == RATE


def test_every_shared_clip_loads(shared: Path) -> None:
    paths = sorted((shared / "data" / "audioset_like" / "audio").iterdir())
    assert len(paths) == 6
    for path in paths:
        assert len(load(path, RATE).samples) > 9 * RATE


@pytest.mark.parametrize(
    ("begin", "words"),
    [
        (
            b"\0\0\0\x18ftypM4A \0\0\0\0M4A mp42isom",
            "is MP4 or M4A (AAC), which libsndfile cannot read: convert it",
        ),
        (b"\xff\xf1\x50\x80" + bytes(60), "is AAC, which"),
        (bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + bytes(50), "is WMA (ASF), which"),
        (b"\x1aE\xdf\xa3" + bytes(60), "is WebM or Matroska, which"),
        (b"OggS" + bytes(24) + b"\x7fFLAC\1\0" + bytes(60), "is FLAC in Ogg, which"),
        (b"\x0bw" + bytes(60), "is AC-3, which"),
        (b"<!DOCTYPE html><title>unavailable</title>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1", "is a Git LFS pointer"),
        (b"PK\x03\x04" + bytes(60), "is a ZIP archive"),
    ],
)
def test_what_is_no_sound_file_is_called_by_its_name(begin: bytes, words: str) -> None:
    with pytest.raises(AudioError, match=re.escape(words)) as caught:
        load(begin, RATE, name="clip.x")
    assert caught.value.reason == "not-audio"
    assert "0x" not in str(caught.value)


@pytest.mark.parametrize("rate", [1, 10, 999, 768_001, 2_000_000])
def test_rates_that_no_recorder_has_are_refused(rate: int) -> None:
    with pytest.raises(AudioError, match=f"sample rate of {rate} Hz"):
        load(encoded(noise(), "WAV", rate=rate), RATE)


@pytest.mark.parametrize("gain", [32768.0, 1e25, 8.1 / 0.1])
def test_floats_far_beyond_full_scale_are_refused(gain: float) -> None:
    sound = np.clip(noise(), -0.1, 0.1) * gain
    with pytest.raises(AudioError, match="x full scale") as caught:
        load(encoded(sound.astype(np.float32), "WAV", subtype="FLOAT"), RATE)
    assert caught.value.reason == "level"


def test_floats_a_little_beyond_full_scale_leave_a_note() -> None:
    sound = np.clip(noise(), -0.1, 0.1) * 20
    assert load(encoded(sound, "WAV", subtype="FLOAT"), RATE).notes == (
        "reaches 1.5 x full scale or more",
    )


def test_channels_that_cancel_out_are_silence() -> None:
    sound = noise()
    with pytest.raises(AudioError, match="cancel out") as caught:
        load(encoded(np.concatenate([sound, -sound], axis=1), "WAV"), RATE)
    assert caught.value.reason == "silent"


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.wav")
    for path in (tmp_path / "fifo.wav", Path("/dev/zero"), Path("/dev/null")):
        with pytest.raises(AudioError, match="a device or a pipe"):
            load(path, RATE)
        with pytest.raises(AudioError, match="a device or a pipe"):
            digest(path)
    with pytest.raises(AudioError, match="cannot be read") as caught:
        load(Path("a\0b.wav"), RATE)
    assert caught.value.reason == "missing"


def test_a_name_that_is_no_utf8_can_be_printed() -> None:
    with pytest.raises(AudioError) as caught:
        load(Path(os.fsdecode(b"caf\xe9.wav")), RATE)
    assert str(caught.value).encode("utf-8") == b"caf\\udce9.wav: no such file"


def test_decoding_stops_where_a_file_is_too_long() -> None:
    """Hours of near silence are a megabyte of FLAC: no more of it is decoded than was asked for."""
    hour = np.zeros((3600 * 1000, 1), np.float32)
    hour[::977] = 1e-4
    content = encoded(hour, "FLAC", rate=1000)
    assert len(content) < 1 << 20
    with pytest.raises(AudioError, match="longer than 60 s") as caught:
        load(content, RATE, longest_s=60)
    assert caught.value.reason == "too-long"


@pytest.mark.parametrize(
    "content",
    [
        b"NIST_1A\n   1024\nsample_rate -i 16000\nend_head\n",
        b"\0\0\0\0\x01\0\0\0" + b"\x50" + bytes(100),
        b".snd" + (2**31).to_bytes(4, "big") + b"\xff" * 100,
        b"MATLAB 5.0 MAT-file" + b" " * 200,
    ],
    ids=["nist", "mat4", "au", "mat5"],
)
def test_headers_that_make_no_sense_are_refused(content: bytes) -> None:
    with pytest.raises(AudioError):
        load(content, 16000)


def test_a_hole_in_a_vorbis_stream_is_noticed() -> None:
    """One flipped bit, or a page that is lost, and the decoder skips the rest of the page in silence."""
    sound = noise(6 * RATE)
    content = encoded(sound, "OGG", subtype="VORBIS")
    assert len(load(content, RATE).samples) == len(sound)
    pages = [match.start() for match in re.finditer(b"OggS", content)]
    for place in np.linspace(pages[3], len(content) - 40, 12, dtype=int):
        damaged = bytearray(content)
        damaged[place] ^= 1
        with pytest.raises(AudioError, match="truncated"):
            load(bytes(damaged), RATE)
    lost = content[: pages[4]] + content[pages[5] :]
    with pytest.raises(AudioError, match="truncated"):
        load(lost, RATE)


def test_a_part_of_a_longer_vorbis_stream_is_read() -> None:
    """A capture of a radio begins with a high position."""
    content = bytearray(encoded(noise(6 * RATE), "OGG", subtype="VORBIS"))
    for match in re.finditer(b"OggS", bytes(content)):
        at = match.start() + 6
        (end,) = struct.unpack_from("<q", content, at)
        if end > 0:
            struct.pack_into("<q", content, at, end + 10**9)
    assert ogg.vorbis_frames(bytes(content)) <= 6 * RATE


def test_chunks_after_the_sound_of_a_w64_are_not_played(tmp_path: Path) -> None:
    sound = noise(6 * RATE)
    content = encoded(sound, "W64", subtype="PCM_16")
    chunk = b"mark" + bytes(range(12)) + struct.pack("<Q", 24 + 4096) + b"\x7f" * 4096
    for behind in (chunk, bytes(8000)):
        (tmp_path / "a.w64").write_bytes(content + behind)
        for wave in (load(content + behind, RATE), load_part(tmp_path / "a.w64", RATE, 0.0, 6.0)):
            assert len(wave.samples) == len(sound)
            np.testing.assert_allclose(wave.samples, sound[:, 0], atol=1e-4)
