"""Needles made ready: what is left out, and what is said of clips that do not fit."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from niah.audio import AudioError
from niah.errors import NiahError
from niah.frontends.kaldi import AST
from niah.needles import load_needles
from niah.needles.feature_cache import FeatureCache
from niah.needles.needle import FileSource
from niah.needles.needle_part import PartSource, with_part
from niah.needles.prepared import prepare
from niah.vocabularies import vocabulary

RATE = 16_000


def test_long_clips_are_noted_and_those_silent_where_hidden_left_out(tmp_path: Path) -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(20 * RATE)
    late = np.where(np.arange(20 * RATE) < 12 * RATE, 0.0, noise)
    for name, sound in (("long", noise), ("just", noise[: 10 * RATE + 800]), ("late", late)):
        soundfile.write(tmp_path / f"{name}.wav", sound, RATE)
    table = tmp_path / "clips.csv"
    table.write_text("path,labels\nlong.wav,dog\njust.wav,dog\nlate.wav,dog\n")
    needles = load_needles(table, vocabulary=vocabulary("esc-50"))
    for _ in range(2):  # computed, then read from the cache
        prepared = prepare(needles, AST, FeatureCache(tmp_path / "cache"), keep_waveform=True)
        assert {needle.id for needle in prepared.needles.needles} == {"long", "just"}
        assert [clip.id for clip in prepared.excluded] == ["late"]
        assert "silent for the 10 s that are hidden" in prepared.excluded[0].reason
        (note,) = [note for note in prepared.notes if "longer than 10 s" in note]
        assert note == "1 clip: longer than 10 s; the first 10 s are hidden (long)"


@pytest.mark.parametrize(("part", "start_s"), [("first", 0.0), ("centre", 7.5), ("loudest", 12.0)])
def test_the_part_of_a_long_clip_that_is_hidden(tmp_path: Path, part: str, start_s: float) -> None:
    """Quiet noise that is loud from 12 to 22 s of 25: the level is that of the part, but for the first."""
    noise = 0.01 * np.random.default_rng(0).standard_normal(25 * RATE)
    noise[12 * RATE : 22 * RATE] *= 30
    soundfile.write(tmp_path / "long.wav", noise, RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "short.wav", noise[: 5 * RATE], RATE, subtype="FLOAT")
    (tmp_path / "clips.csv").write_text("path,labels\nlong.wav,dog\nshort.wav,dog\n")
    whole = load_needles(tmp_path / "clips.csv", vocabulary=vocabulary("esc-50"))
    needles = with_part(whole, part)
    cache = FeatureCache(tmp_path / "cache")
    for _ in range(2):
        prepared = prepare(needles, AST, cache, keep_waveform=True, strict=part != "first")
        assert f"1 clip: longer than 10 s; the {part} 10 s are hidden (long)" in prepared.notes
    index = [needle.id for needle in prepared.needles.needles].index("long")
    hidden = prepared.features(index).waveform
    assert hidden is not None
    expected = noise[round(start_s * RATE) :][: 10 * RATE]
    np.testing.assert_allclose(
        hidden[: 10 * RATE], expected - hidden_mean(noise, expected, part), atol=1e-6
    )
    if part != "first":
        level = np.sqrt(np.mean(np.square(expected)))
        assert prepared.features(index).rms == pytest.approx(level, rel=1e-5)
    same = with_part(whole, part).needles[0].source.digest() == whole.needles[0].source.digest()
    assert same == (part == "first")
    short = PartSource(FileSource(tmp_path / "short.wav"), "loudest").waveform(RATE)
    assert (len(short.samples), short.notes) == (5 * RATE, ())


def hidden_mean(noise: NDArray[np.float64], expected: NDArray[np.float64], part: str) -> float:
    """The mean that the front end removes: of the whole file where its first part is taken."""
    return float((noise if part == "first" else expected).mean())


@pytest.mark.usefixtures("two_threads")
def test_clips_read_beside_each_other_are_those_of_one_thread(tmp_path: Path) -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(12 * RATE)
    for number in range(9):
        broken = number in (3, 7)
        samples = noise[: 160 if broken else (9 + number % 3) * RATE] * (number + 1) / 10
        soundfile.write(tmp_path / f"{number}.wav", samples, RATE)
    rows = "".join(f"{number}.wav,dog\n" for number in range(9))
    (tmp_path / "clips.csv").write_text(f"path,labels\n{rows}")
    needles = load_needles(tmp_path / "clips.csv", vocabulary=vocabulary("esc-50"))
    made = {}
    for threads in (1, 2):
        torch.set_num_threads(threads)
        cache = FeatureCache(tmp_path / f"cache{threads}")
        made[threads] = prepare(needles, AST, cache, keep_waveform=True)
        assert torch.get_num_threads() == threads
        with pytest.raises(AudioError, match="shorter than one frame") as refused:
            prepare(needles, AST, cache, keep_waveform=True, strict=True)
        assert str(refused.value) == made[threads].excluded[0].reason  # the first in order
    one, two = made[1], made[2]
    assert [clip.id for clip in two.excluded] == [clip.id for clip in one.excluded]
    assert len(two.excluded) == 2
    assert (two.needles, two.notes) == (one.needles, one.notes)
    assert two.content_sha256 == one.content_sha256
    for index in range(len(one)):
        a, b = one.features(index), two.features(index)
        assert torch.equal(a.features, b.features)
        assert (a.rms, a.samples, a.frames) == (b.rms, b.samples, b.frames)


def test_an_unknown_part_is_refused() -> None:
    needles = load_needles("synthetic", vocabulary=vocabulary("synthetic"), limit=1)
    with pytest.raises(NiahError, match=r"'center': unknown\. Did you mean 'centre'"):
        with_part(needles, "center")
