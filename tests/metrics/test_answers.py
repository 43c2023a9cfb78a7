"""Answers of hand-made tracks, and Kaplan and Meier's shares against plain ones."""

import numpy as np
import pytest

from niah.metrics.answers import (
    FreeStream,
    Track,
    answers_of,
    median_interval,
    stream_scores,
    thresholds_of,
)
from niah.metrics.survival import survival

SOUND = (10.0, 20.0)


def track(above: str, clip: int = 0, sound: tuple[float, float] = SOUND) -> Track:
    """A hop a second: '#' is a logit of 2, '.' of -2, from the hop that ends at 1 s on."""
    logits = np.array([2.0 if sign == "#" else -2.0 for sign in above], dtype=np.float32)
    return Track(clip, 0, np.arange(1.0, len(above) + 1), logits, *sound)


@pytest.mark.parametrize(
    ("above", "wait", "early", "hold", "flips", "release"),
    [
        ("..........##########..........", 1, False, 1.0, 0, 1),  # at once, and gone at once
        (".............#######....", 4, False, 0.7, 0, 1),
        ("..........#.#.#.#.#.....", 1, False, 0.5, 9, 1),  # flickers
        ("..........####..####....", 1, False, 0.8, 2, 1),
        ("..........###############.....", 1, False, 1.0, 0, 6),  # remembers
        ("##########..............", None, True, 0.0, 0, None),  # is over when the sound begins
        ("######################..", None, True, 1.0, 0, None),  # about something else all the time
        ("##########.....#####....", 6, True, 0.5, 0, 1),  # and then about the sound
        (
            "......................##.",
            13,
            False,
            0.0,
            0,
            5,
        ),  # after the sound: still an answer to it
        ("..............................#.", None, False, 0.0, 0, None),  # 11 s after it: no more
        ("..........####################", 1, False, 1.0, 0, None),  # to the end of the scene
    ],
)
def test_what_a_track_says(
    above: str, wait: float | None, early: bool, hold: float, flips: int, release: float | None
) -> None:
    said = answers_of(track(above), np.zeros(1, dtype=np.float32))
    assert said.is_answered[0] == (wait is not None)
    assert said.wait_s[0] == (wait if wait is not None else min(len(above), 30) - 10)
    assert (said.is_early[0], said.hold[0], said.flips[0]) == (early, pytest.approx(hold), flips)
    if wait is not None:
        assert said.is_released[0] == (release is not None)
        assert said.release_s[0] == (release if release is not None else len(above) - 20)


def test_a_sound_between_two_hops_has_a_wait_and_no_hold() -> None:
    said = answers_of(track("...#....", sound=(2.2, 2.6)), np.zeros(1, dtype=np.float32))
    assert said.wait_s[0] == pytest.approx(1.8)
    assert np.isnan(said.hold[0])


def test_thresholds_are_of_needle_free_hops() -> None:
    free = FreeStream(np.repeat([0, 1], 50), np.arange(100, dtype=np.float32))
    assert thresholds_of({0: free}, 3) == {0: 96.0}
    quiet, loud = (track("." * 30, clip) for clip in (0, 1))
    loud.logits[:] = 97.0  # all the time
    scores = stream_scores([quiet, loud], {0: free}, 3, groups=["a", "b"], draws=200)
    assert scores["answered"].estimate == 0.0  # loud before the sound begins: no answer to it
    assert scores["early"].estimate == scores["hold"].estimate == 0.5
    # a draw of the quiet scenes alone has a lower threshold, of their own needle-free hops
    scores = stream_scores([quiet], {0: free}, 0, groups=["a", "b"], draws=200)
    assert np.nanmax(scores["answered"].drawn) == 0.0


def test_intervals_resample_recordings() -> None:
    free = FreeStream(np.zeros(1, dtype=np.intp), np.zeros(1, dtype=np.float32))
    tracks = [track("." * 10 + ("#" if i % 2 else ".") * 20, i) for i in range(40)]
    own = stream_scores(tracks, {0: free}, 0, groups=[str(i) for i in range(40)])["within_1"]
    low, high = own.unit_interval()
    assert own.estimate == pytest.approx(0.5)
    assert 0.30 < low < 0.40 < 0.60 < high < 0.70
    alike = stream_scores(tracks, {0: free}, 0, groups=[str(i // 10) for i in range(40)])
    assert alike["within_1"].standard_error < own.standard_error / 3  # each has half
    half = stream_scores(tracks, {0: free}, 0, groups=[str(i % 2) for i in range(40)])
    assert half["within_1"].standard_error > 3 * own.standard_error


def test_medians_reach_to_the_end_of_the_watch() -> None:
    free = FreeStream(np.zeros(1, dtype=np.intp), np.zeros(1, dtype=np.float32))
    waits = (1, 2, 3, 4, 15)
    tracks = [track("." * (9 + wait) + "#" * 30, i) for i, wait in enumerate(waits)]
    score = stream_scores(tracks, {0: free}, 0, groups=list("abcde"))["median_s"]
    assert score.estimate == 3.0
    assert median_interval(score) == (1.0, 15.0)
    alone = stream_scores(tracks, {0: free}, 0, groups=["one recording"] * 5)["median_s"]
    assert median_interval(alone) == (None, None)
    silent = [track("." * 30, i) for i in range(5)]
    score = stream_scores(silent, {0: free}, 0, groups=list("abcde"))["median_s"]
    assert score.estimate == np.inf
    assert median_interval(score) == (None, None)


def test_kaplan_meier() -> None:
    """The worked example of Kaplan and Meier 1958: deaths at 0.8, 3.1, 5.4, 9.2, losses at 1.0, 2.7, 7.0, 12.1."""
    times = np.array([5.4, 0.8, 1.0, 2.7, 3.1, 7.0, 9.2, 12.1])[:, None]
    happened = np.array([1, 1, 0, 0, 1, 0, 1, 0])[:, None]
    own = survival(times, happened, np.ones((8, 1)))
    for time, still in ((0.5, 1.0), (0.8, 7 / 8), (3.1, 7 / 10), (5.4, 21 / 40), (9.2, 21 / 80)):
        assert own.share_by(time)[0] == pytest.approx(1 - still)
    assert own.median()[0] == 9.2
    doubled = survival(times, happened, 2 * np.ones((8, 1)))
    np.testing.assert_allclose(doubled.still, own.still)
    nothing = survival(times, happened, np.zeros((8, 1)))
    assert np.isnan(nothing.share_by(1.0)[0])
    assert np.isnan(nothing.median()[0])


def test_without_losses_it_is_the_plain_share() -> None:
    random = np.random.default_rng(0)
    times = random.integers(1, 6, (20, 7)).astype(np.float64)
    weights = random.integers(0, 3, (20, 7)).astype(np.int32)
    own = survival(times, np.ones((20, 7)), weights)
    for time in (0.5, 1.0, 3.0, 5.0):
        plain = ((times <= time) * weights).sum(axis=0) / weights.sum(axis=0)
        np.testing.assert_allclose(own.share_by(time), plain, atol=1e-12)
