"""Every container and coding that libsndfile writes: whole, cut in half, with a placeholder of its size."""

import io
import struct
from collections.abc import Iterator

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from niah.audio import AudioError, containers, load, mpeg

SECONDS = 2
NO_HEADER = ("RAW", "SD2")  # SD2's header is in a file of its own
UNREADABLE = {
    ("AIFF", "DWVW_16"),
    ("AIFF", "DWVW_24"),
}  # libsndfile cannot read back what it writes


def tone(rate: int) -> NDArray[np.float32]:
    t = np.arange(SECONDS * rate) / rate
    noise = np.random.default_rng(0).standard_normal(len(t))
    return (0.3 * np.sin(2 * np.pi * 440 * t) + 0.05 * noise).astype(np.float32)


def encoded(rate: int, container: str, coding: str | None = None) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, tone(rate), rate, format=container, subtype=coding)
    return stream.getvalue()


def written() -> Iterator[tuple[str, str, int, bytes]]:
    """Write every container and coding at the first rate that it takes."""
    for container in sorted(set(soundfile.available_formats()) - set(NO_HEADER)):
        for coding in soundfile.available_subtypes(container):
            for rate in (16000, 8000):
                try:
                    yield container, coding, rate, encoded(rate, container, coding)
                except (soundfile.LibsndfileError, ValueError, OSError):
                    continue
                break


WRITTEN = {
    f"{container}-{coding}": (container, coding, rate, content)
    for container, coding, rate, content in written()
}


def test_there_are_as_many_kinds_as_libsndfile_lists() -> None:
    assert len(WRITTEN) > 100


@pytest.mark.parametrize("kind", WRITTEN)
def test_a_whole_file_is_read_whole(kind: str) -> None:
    container, _, rate, content = WRITTEN[kind]
    rate = {"XI": 44100, "WVE": 8000}.get(container, rate)  # the only rate that these know
    samples = load(content, rate).samples
    expected = {"XI": SECONDS * 16000, "WVE": SECONDS * 16000}.get(container, SECONDS * rate)
    assert abs(len(samples) - expected) <= 0.02 * expected


@pytest.mark.parametrize("kind", WRITTEN)
def test_half_a_file_is_never_taken_for_a_whole_one(kind: str) -> None:
    container, _, rate, content = WRITTEN[kind]
    half = content[: len(content) // 2]
    if container in containers.WITHOUT_LENGTH:
        assert any("states no length" in note for note in load(half, rate).notes)
        return
    with pytest.raises(AudioError) as caught:
        load(half, rate)
    assert caught.value.reason in ("truncated", "not-audio")
    assert "0x" not in str(caught.value)  # no address of an object: the same words in every run


@pytest.mark.parametrize(
    "kind",
    [
        "WAV-PCM_16",
        "WAVEX-FLOAT",
        "RF64-PCM_16",
        "W64-PCM_24",
        "AIFF-PCM_16",
        "AU-PCM_16",
        "CAF-FLOAT",
    ],
)
@pytest.mark.parametrize("placeholder", ["zero", "all ones", "2 GiB less a page", "2 GiB"])
def test_a_placeholder_of_the_size_is_no_promise(kind: str, placeholder: str) -> None:
    _, _, rate, content = WRITTEN[kind]
    sound = containers._sound(content)
    assert sound is not None
    bits = 8 * struct.calcsize(sound.form)
    value = {
        "zero": 0,
        "all ones": (1 << bits) - 1,
        "2 GiB less a page": 0x7FFFF000,
        "2 GiB": 0x80000000,
    }[placeholder]
    if bits == 64 and "GiB" in placeholder:
        value <<= 32
    stated = bytearray(content)
    struct.pack_into(sound.form, stated, sound.field, value)
    wave = load(bytes(stated), rate)
    np.testing.assert_allclose(
        wave.samples[: len(tone(rate))], load(content, rate).samples, atol=1e-6
    )
    assert len(wave.samples) <= len(tone(rate)) + 64


def test_a_truncated_file_keeps_its_promise_where_the_size_is_plausible() -> None:
    content = encoded(16000, "WAV")
    for cut in (1, 2, 100, len(content) // 3):
        with pytest.raises(AudioError) as caught:
            load(content[:-cut], 16000)
        assert caught.value.reason == "truncated"


@pytest.mark.parametrize("tail", [b"TAG" + bytes(125), bytes(9000), b"LIST\x04\0\0\0abcd"])
def test_what_follows_the_sound_is_not_taken_for_sound(tail: bytes) -> None:
    assert len(load(encoded(16000, "WAV") + tail, 16000).samples) == SECONDS * 16000


def mp3(rate: int = 16000, **options: object) -> bytes:
    stream = io.BytesIO()
    with soundfile.SoundFile(stream, "w", rate, 1, format="MP3", **options) as file:
        file.write(tone(rate))
    return stream.getvalue()


def without_header(content: bytes) -> bytes:
    """Drop the first frame, which tells the length: what an encoder to a pipe writes."""
    (stream,) = mpeg.streams(content)
    assert stream.promised is not None
    return content[stream.first.start + stream.first.size :]


def test_an_mp3_whose_header_counts_too_few_frames_is_read_to_its_end() -> None:
    """As where one without a header was appended: all behind the first was lost without a word."""
    whole, more = load(mp3(), 16000).samples, load(without_header(mp3()), 16000).samples
    joined = load(mp3() + without_header(mp3()), 16000)
    assert joined.notes == (containers.SMALLER,)
    assert abs(len(joined.samples) - len(whole) - len(more)) <= 1152
    np.testing.assert_allclose(joined.samples[: len(whole)], whole, atol=1e-6)


def in_wave(content: bytes) -> bytes:
    """Put an MP3 into a WAV (format tag 0x0055), as ffmpeg does."""
    fmt = struct.pack("<HHIIHHHHIHHH", 0x55, 1, 16000, 8000, 1, 0, 12, 1, 2, 576, 1, 1393)
    chunks = b"fmt " + struct.pack("<I", len(fmt)) + fmt
    chunks += b"data" + struct.pack("<I", len(content)) + content
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def test_an_mp3_in_a_wav_is_read_as_one() -> None:
    """libsndfile guesses its length, which counted as a promise: a whole one was refused as truncated."""
    for content in (mp3(bitrate_mode="VARIABLE", compression_level=0.3), without_header(mp3())):
        read = load(in_wave(content), 16000)
        np.testing.assert_array_equal(read.samples, load(content, 16000).samples)
        with pytest.raises(AudioError) as caught:
            load(in_wave(content)[:-1000], 16000)
        assert caught.value.reason == "truncated"


@pytest.mark.parametrize("container", ["WAV", "AIFF", "FLAC", "OGG"])
def test_a_tag_before_the_container_costs_no_sound(container: str) -> None:
    """libsndfile drops as many bytes at the end, and half of such a file was taken for a whole one."""
    content, tag = encoded(16000, container), b"ID3\3\0\0\0\0\x0f\0" + bytes(15 << 7)
    tagged = load(tag + content, 16000).samples
    np.testing.assert_array_equal(tagged, load(content, 16000).samples)
    with pytest.raises(AudioError) as caught:
        load(tag + content[: len(content) // 2], 16000)
    assert caught.value.reason == "truncated"


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000])
@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE", "AVERAGE"])
def test_an_mp3_without_a_length_is_read_whole(rate: int, mode: str) -> None:
    content = without_header(mp3(rate, bitrate_mode=mode, compression_level=0.4))
    for tagged in (
        content,
        b"ID3\x04\0\0\0\0\x01\x00" + bytes(128) + content,
        content + b"TAG" + bytes(125),
    ):
        wave = load(tagged, rate)
        assert abs(len(wave.samples) - SECONDS * rate) <= 3 * 1152
        assert wave.notes == ()


def test_half_an_mp3_with_a_length_is_truncated() -> None:
    content = mp3()
    with pytest.raises(AudioError) as caught:
        load(content[: len(content) // 2], 16000)
    assert caught.value.reason == "truncated"


@pytest.mark.parametrize("container", ["MP3", "OGG"])
@pytest.mark.parametrize("times", [2, 3])
def test_streams_one_after_another_are_read_whole_with_a_note(container: str, times: int) -> None:
    one = encoded(16000, container)
    wave = load(times * one, 16000)
    assert abs(len(wave.samples) - times * SECONDS * 16000) <= times * 1152
    kind = {"MP3": "MP3", "OGG": "chained Ogg"}[container]
    assert wave.notes == (f"{times} {kind} streams in one file, read one after another",)


@pytest.mark.parametrize("tail", [b"TAG" + bytes(125), bytes(9000), b"APETAGEX" + bytes(24)])
def test_tags_after_a_flac_are_no_damage(tail: bytes) -> None:
    one = encoded(16000, "FLAC")
    assert load(one + tail, 16000).notes == ()
    two = load(one + one + tail, 16000)
    assert len(two.samples) == 2 * SECONDS * 16000
    assert two.notes == ("2 FLAC streams in one file, read one after another",)
    for cut in (one[:-200] + tail, one + one[:-200] + tail):
        with pytest.raises(AudioError, match="is truncated or damaged"):
            load(cut, 16000)


def test_sound_of_another_kind_after_an_ogg_is_told() -> None:
    (note,) = load(encoded(16000, "OGG") + encoded(16000, "WAV"), 16000).notes
    assert note.endswith("bytes after the sound are of another kind, and not read")
    assert load(encoded(16000, "OGG") + bytes(9000), 16000).notes == ()


def test_a_size_that_wrapped_is_read_to_the_end() -> None:
    content = bytearray(encoded(16000, "WAV"))
    at = content.index(b"data") + 4
    struct.pack_into("<I", content, at, (len(content) - at - 4) // 2)
    wave = load(bytes(content), 16000)
    assert len(wave.samples) == SECONDS * 16000
    assert wave.notes == ("its header states a smaller size than the file has: read to its end",)


@pytest.mark.parametrize("total", [0, (1 << 36) - 1, 7])
def test_a_flac_that_lies_about_its_length_allocates_nothing(total: int) -> None:
    content = bytearray(encoded(16000, "FLAC"))
    (field,) = struct.unpack_from(">Q", content, 18)
    struct.pack_into(">Q", content, 18, field & ~((1 << 36) - 1) | total)
    if total < len(tone(16000)):  # 0 is unknown, as encoders to a pipe leave it
        assert len(load(bytes(content), 16000).samples) == SECONDS * 16000
        return
    with pytest.raises(AudioError) as caught:
        load(bytes(content), 16000)
    assert caught.value.reason == "truncated"
