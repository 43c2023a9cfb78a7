"""The embedded set as needles."""

import numpy as np
import pytest

from niah.errors import NiahError
from niah.needles import load_needles, synthetic, waveform
from niah.vocabularies import vocabulary
from tests.helpers.clip_files import AUDIOSET, RATE


def test_synthetic_needles_are_the_evaluation_clips() -> None:
    needles = load_needles("synthetic", vocabulary=vocabulary("synthetic"), limit=30)
    assert (needles.name, len(needles)) == ("synthetic", 30)
    needle = needles.needles[0]
    split, index = needle.id.split("-")
    samples, labels = synthetic.clip(split, int(index))
    assert split == "evaluation"
    assert needle.labels == labels
    assert np.array_equal(waveform(needle, RATE).samples, samples)
    assert needles.targets().sum(axis=0).min() >= 1  # stratified: every class has a clip


def test_synthetic_splits_differ_and_grow() -> None:
    labels = vocabulary("synthetic")
    validation = load_needles("synthetic:validation", vocabulary=labels)
    assert (validation.name, len(validation)) == ("synthetic:validation", 400)
    assert len(load_needles("synthetic:validation", vocabulary=labels, limit=405)) == 405
    with pytest.raises(NiahError, match="Did you mean 'validation'"):
        load_needles("synthetic:valdation", vocabulary=labels)
    with pytest.raises(NiahError, match="choose a model trained on them"):
        load_needles("synthetic", vocabulary=AUDIOSET)
