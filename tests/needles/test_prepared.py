"""Needles made ready: what is left out, and what is said of clips that do not fit."""

from pathlib import Path

import numpy as np
import soundfile

from niah.frontends.kaldi import AST
from niah.needles import load_needles
from niah.needles.feature_cache import FeatureCache
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
