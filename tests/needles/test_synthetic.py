"""The embedded sounds: deterministic, splits apart, of the level asked for, and learnable."""

import numpy as np
import pytest
from numpy.typing import NDArray

from niah.errors import NiahError
from niah.needles.readers.synthetic import SIZES
from niah.needles.synthetic import (
    CLASSES,
    SAMPLE_RATE,
    SPLITS,
    EventClass,
    clip,
    clip_id,
    labels,
    tonal,
)
from niah.needles.synthetic.clips import EVENT_DBFS, drawn_labels, event
from niah.needles.synthetic.signals import Samples, decays, harmonics, ring, shaped_noise, wander

BY_ID = {kind.id: kind for kind in CLASSES}
GOLDEN_LABELS = ("syn/siren",)
GOLDEN_RMS = 0.03053210
GOLDEN_SAMPLES = [-0.0046961, -0.0042626, -0.0038897, -0.0035693]


def test_there_are_at_least_20_classes_with_wide_durations() -> None:
    assert len(BY_ID) == len(CLASSES) >= 20
    for kind in CLASSES:
        assert 0.3 <= kind.shortest_s < kind.longest_s <= 6.0


@pytest.mark.parametrize("split", SPLITS)
def test_clips_are_ten_seconds_of_finite_float32(split: str) -> None:
    for index in range(6):
        samples, names = clip(split, index)
        assert samples.dtype == np.float32
        assert samples.shape == (160_000,)
        assert np.isfinite(samples).all()
        assert 0 < np.abs(samples).max() < 1
        assert 1 <= len(names) <= 3
        assert len(set(names)) == len(names)
        assert names == labels(split, index)


def test_a_clip_depends_on_its_key_only() -> None:
    first, _ = clip("train", 5)
    clip("evaluation", 3)
    np.random.default_rng(0).random(7)
    assert np.array_equal(clip("train", 5)[0], first)
    for other in (clip("train", 6), clip("validation", 5), clip("train", 5, seed=1)):
        assert abs(np.corrcoef(first, other[0])[0, 1]) < 0.1


def test_no_two_clips_share_a_key() -> None:
    ids = {clip_id(split, i, seed) for split in SPLITS for i in range(100) for seed in range(3)}
    assert len(ids) == 100 * 3 * len(SPLITS)


@pytest.mark.parametrize("split", SPLITS)
def test_stored_labels_are_those_that_are_drawn(split: str) -> None:
    """Clips beyond the stored ones are drawn."""
    size = SIZES[split]
    for index in (0, 1, size // 3, size // 2, size - 2, size - 1, size):
        assert labels(split, index) == drawn_labels(split, index)
    assert any(labels(split, i, seed=1) != labels(split, i) for i in range(3))


def test_first_evaluation_clips_stay_what_they_are() -> None:
    """Shipped weights and results are of these very clips: a change needs a new RECIPE."""
    assert labels("evaluation", 0) == GOLDEN_LABELS
    samples, _ = clip("evaluation", 0)
    assert np.sqrt(np.mean(samples.astype(np.float64) ** 2)) == pytest.approx(GOLDEN_RMS, rel=1e-4)
    np.testing.assert_allclose(samples[80_000:80_004], GOLDEN_SAMPLES, atol=1e-5)


def test_classes_and_counts_are_drawn_evenly() -> None:
    drawn = [labels("validation", index) for index in range(300)]
    counts = np.bincount([len(names) for names in drawn], minlength=4)
    assert counts[0] == 0
    assert counts[1:].min() > 70
    per_class = [sum(kind.id in names for names in drawn) for kind in CLASSES]
    assert min(per_class) > 8


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.id)
def test_events_have_unit_level_and_their_duration(kind: EventClass) -> None:
    for seed in range(4):
        x = event(kind, np.random.default_rng(seed))
        assert np.isfinite(x).all()
        assert kind.shortest_s - 0.01 <= len(x) / SAMPLE_RATE <= kind.longest_s + 0.01
        power = (x * x).reshape(-1, 160).mean(axis=1)
        assert np.convolve(power, np.full(5, 0.2), "valid").max() == pytest.approx(1.0)


def test_events_stand_out_of_the_background() -> None:
    """The loudest 50 ms of a clip are at least as loud as the quietest event may be, less 1 dB."""
    for index in range(20):
        x = clip("evaluation", index)[0].astype(np.float64)
        power = (x * x).reshape(-1, 160).mean(axis=1)
        assert 10 * np.log10(np.convolve(power, np.full(5, 0.2), "valid").max()) > EVENT_DBFS[0] - 1


def test_other_rates_are_the_same_sound() -> None:
    low, high = clip("train", 0)[0], clip("train", 0, sample_rate=32_000)[0]
    assert high.shape == (320_000,)
    assert np.corrcoef(low[1000:-1000], high[2000:-2000:2])[0, 1] > 0.99


def test_bad_keys_are_refused() -> None:
    with pytest.raises(NiahError, match="Did you mean 'train'"):
        clip("trian", 0)
    with pytest.raises(NiahError, match="0 or more but -1"):
        clip("train", -1)


def _centroid_hz(x: Samples) -> float:
    power = np.abs(np.fft.rfft(x * np.hanning(len(x)))) ** 2
    return float((power * np.fft.rfftfreq(len(x), 1 / SAMPLE_RATE)).sum() / power.sum())


def test_chirps_go_the_way_they_say() -> None:
    n = SAMPLE_RATE // 2  # short ones are a single sweep
    for seed in range(5):
        up = tonal.chirp_up(np.random.default_rng(seed), n)
        down = tonal.chirp_down(np.random.default_rng(seed), n)
        third = n // 3
        assert _centroid_hz(up[-third:]) > 1.2 * _centroid_hz(up[:third])
        assert _centroid_hz(down[:third]) > 1.2 * _centroid_hz(down[-third:])


def test_harmonics_equal_the_sum_of_sines() -> None:
    phase = np.cumsum(np.linspace(100, 300, 4000)) / SAMPLE_RATE
    amplitudes = np.array([1.0, 0.5, 0.25])
    offsets = np.random.default_rng(3).random(3)
    k = np.arange(1, 4)[:, None]
    # the table's irfft makes cosines of the random phases
    expected = (amplitudes[:, None] * np.cos(2 * np.pi * (k * phase + offsets[:, None]))).sum(0)
    result = harmonics(phase, amplitudes, np.random.default_rng(3))
    np.testing.assert_allclose(result, expected, atol=1e-4)


def test_ring_is_the_damped_sine() -> None:
    impulse = np.zeros(1600)
    impulse[100] = 2.0
    t = np.arange(1500) / SAMPLE_RATE
    expected = 2 * np.exp(-t / 0.01) * np.sin(2 * np.pi * 440 * t)
    np.testing.assert_allclose(ring(impulse, 440, 0.01)[100:], expected, atol=3e-3)
    np.testing.assert_allclose(ring(impulse, 440, 0.01)[:100], 0, atol=1e-12)


def test_shaped_noise_has_the_shape() -> None:
    noise = shaped_noise(np.random.default_rng(0), 64_000, lambda f: (f > 4000) * 1.0)
    power = np.abs(np.fft.rfft(noise)) ** 2
    assert power[: len(power) // 2 - 10].sum() < 1e-9 * power.sum()


def test_envelopes() -> None:
    steps = decays(16_000, np.array([0.25, 0.75]), 0.1)
    assert steps[:3900].max() == 0
    assert steps[4000] == steps[12_000] == pytest.approx(1.0)
    assert steps[5600] == pytest.approx(np.exp(-1))
    curve = wander(np.random.default_rng(0), 48_000, 2.0)
    assert curve.shape == (48_000,)
    assert np.abs(curve).max() <= 1
    assert np.abs(np.diff(curve)).max() < 0.001


@pytest.mark.slow
def test_classes_can_be_learnt_from_pooled_spectra() -> None:
    """A linear probe on time-pooled log spectra is far above chance: the labels mean something."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import average_precision_score
    from sklearn.preprocessing import StandardScaler

    train, train_targets = _pooled("train", 800)
    test, test_targets = _pooled("validation", 300)
    scaler = StandardScaler().fit(train)
    scores = []
    for k in range(len(CLASSES)):
        probe = LogisticRegression(C=0.003, max_iter=200)
        probe.fit(scaler.transform(train), train_targets[:, k])
        result = probe.decision_function(scaler.transform(test))
        scores.append(average_precision_score(test_targets[:, k], result))
    chance = test_targets.mean()
    assert np.mean(scores) > 3 * chance
    assert sum(score > chance for score in scores) >= 23


def _pooled(split: str, n: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    rows = []
    targets = np.zeros((n, len(CLASSES)), np.bool_)
    order = list(BY_ID)
    for i in range(n):
        samples, names = clip(split, i)
        frames = samples.reshape(-1, 400) * np.hanning(400)
        power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
        log = np.log(power[:, 1:].reshape(400, 40, 5).mean(axis=2) + 1e-9)
        rows.append(np.concatenate([log.mean(0), log.max(0), log.std(0)]))
        targets[i, [order.index(name) for name in names]] = True
    return np.array(rows), targets
