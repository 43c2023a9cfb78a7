"""ESC-10 as it is: intervals by recording, and what loudness alone tells of the class (`make test-slow`)."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import gaussian_kde
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from niah import audio
from niah.frontends.kaldi import AST
from niah.metrics.average_precision import (
    Scores,
    average_precision,
    chance_mAP,
    mean_average_precision,
)
from niah.metrics.resampling import Resampled, paired, resample
from niah.needles import load_needles, waveform
from niah.vocabularies import vocabulary

pytestmark = pytest.mark.slow
RATE = 16_000
FOLDS = "12345"
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Esc10:
    """400 clips: waveforms (clips, samples), class, fold (the first digit of the name) and recording of each."""

    waves: NDArray[np.float32]
    label: NDArray[np.str_]
    fold: NDArray[np.str_]
    recordings: list[str]

    @property
    def targets(self) -> NDArray[np.bool_]:
        return np.asarray(self.label[:, None] == np.unique(self.label))

    def by_fold(self, scores_of: Callable[[NDArray[np.bool_], NDArray[np.bool_]], Array]) -> Array:
        """Score each fold by what the other four tell; `scores_of(trained_on, tested_on)`."""
        scores = np.zeros(self.targets.shape)
        for fold in FOLDS:
            scores[self.fold == fold] = scores_of(self.fold != fold, self.fold == fold)
        return scores


@pytest.fixture(scope="module")
def esc10(shared: Path) -> Esc10:
    needles = load_needles(
        shared / "data" / "esc50" / "manifest.csv", vocabulary=vocabulary("esc-10")
    ).needles
    return Esc10(
        np.stack([np.resize(waveform(each, RATE).samples, 5 * RATE) for each in needles]),
        np.array([each.labels[0] for each in needles]),
        np.array([each.id[0] for each in needles]),
        [each.group or each.id for each in needles],
    )


def statistics(waves: NDArray[np.float32]) -> Array:
    """Mean and standard deviation of every log-mel band, (clips, 256)."""
    parts = []
    for some in np.array_split(waves, 20):
        bands = AST.log_mel(AST.energies(torch.from_numpy(some))).numpy().astype(np.float64)
        parts.append(np.concatenate([bands.mean(axis=1), bands.std(axis=1)], axis=1))
    return np.concatenate(parts)


def test_intervals_by_recording_are_wider_by_a_fifth_to_two_fifths(esc10: Esc10) -> None:
    """A logistic regression on all five folds: of 400 clips, 304 recordings are independent."""
    random = np.random.default_rng(0)
    level = np.sqrt(np.mean(np.square(esc10.waves, dtype=np.float64), axis=1, keepdims=True))
    noisy = esc10.waves + level * random.normal(size=esc10.waves.shape)
    clean, masked = statistics(esc10.waves), statistics(noisy.astype(np.float32))

    def regression(features: Array) -> Array:
        def scores_of(train: NDArray[np.bool_], test: NDArray[np.bool_]) -> Array:
            model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
            model.fit(clean[train], esc10.label[train])
            return np.asarray(model.decision_function(features[test]))

        return esc10.by_fold(scores_of)

    sets: list[Scores] = [regression(clean), regression(masked)]

    def errors(groups: list[str] | None) -> Array:
        found = resample(esc10.targets, sets, groups=groups)
        share: Resampled = paired(lambda base, own: own / base, *found)
        return np.array([each.standard_error for each in (*found, share)])

    assert len(set(esc10.recordings)) == 304
    ratios = errors(esc10.recordings) / errors(None)
    print("by recording / by clip: 10 s, in noise, share", ratios.round(3))
    assert ratios[0] == pytest.approx(1.39, abs=0.1)
    assert ratios[1] == pytest.approx(1.44, abs=0.25)
    assert ratios[2] == pytest.approx(1.21, abs=0.1)


def test_loudness_alone_tells_the_class(esc10: Esc10) -> None:
    """A noise as loud as the SNR demands gives the needle's level away: mAP .315 by one number a clip.

    Therefore niah-v2.1 fixes the haystack's level (`tests/scenes/test_niah_v2_1.py`).
    """
    level = 20 * np.log10([audio.rms(each) for each in esc10.waves])
    classes = np.unique(esc10.label)

    def density(label: NDArray[np.str_]) -> Array:
        def scores_of(train: NDArray[np.bool_], test: NDArray[np.bool_]) -> Array:
            parts = [gaussian_kde(level[train & (label == name)])(level[test]) for name in classes]
            total = np.maximum(np.sum(parts, axis=0), 1e-12)
            return np.asarray(np.stack(parts, axis=1) / total[:, None])

        return esc10.by_fold(scores_of)

    def mean_of_folds(scores: Array) -> float:
        parts = [esc10.fold == fold for fold in FOLDS]
        return float(
            np.mean(
                [
                    mean_average_precision(average_precision(esc10.targets[part], scores[part]))
                    for part in parts
                ]
            )
        )

    assert chance_mAP(esc10.targets[esc10.fold == "4"]) == pytest.approx(0.145, abs=5e-4)
    assert mean_of_folds(density(esc10.label)) == pytest.approx(0.315, abs=0.01)
    random = np.random.default_rng(0)
    shuffled = [mean_of_folds(density(random.permutation(esc10.label))) for _ in range(5)]
    # scored against the true classes, so by levels that belong to no class
    assert np.mean(shuffled) == pytest.approx(0.147, abs=0.021)
