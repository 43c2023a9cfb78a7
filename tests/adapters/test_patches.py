"""Patches of an input of any length: every frame in one, equal ones scored once, bounded memory."""

import numpy as np
import pytest
from numpy.typing import NDArray

from niah.adapters.patches import PatchScorer
from niah.adapters.reuse import ENTRY_BYTES
from niah.errors import NiahError

Array = NDArray[np.generic]


class Network:
    """Sums by mel of a patch, each weighted by its place in time; notes how many patches it was asked."""

    def __init__(self) -> None:
        self.scored = 0

    def __call__(self, patches: Array) -> Array:
        self.scored += len(patches)
        weights = np.arange(1, patches.shape[1] + 1)
        sums: Array = np.einsum("nfm,f->nm", patches.astype(np.int64), weights).astype(np.int32)
        return sums


def frames(count: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, 9, (count, 3)).astype(np.uint8)


def one_by_one(features: Array, size: int, hop: int, fill: int) -> Array:
    rows = []
    for start in range(0, max(1, len(features) - size + hop), hop):
        patch = np.full((size, 3), fill, np.uint8)
        part = features[start : start + size]
        patch[: len(part)] = part
        rows.append(Network()(patch[None])[0])
    return np.array(rows)


@pytest.mark.parametrize("count", [1, 95, 96, 97, 144, 145, 498, 998])
def test_every_frame_is_in_a_patch_and_the_last_is_filled_up(count: int) -> None:
    features, network = frames(count), Network()
    scorer = PatchScorer(network, 96, 48)
    scored = scorer(features, 7)
    np.testing.assert_array_equal(scored, one_by_one(features, 96, 48, 7))
    assert scorer.count(count) == len(scored) == network.scored
    last = 48 * (len(scored) - 1) + 96
    assert last >= count > last - 48 or count <= 96


def test_patches_that_are_no_whole_hops() -> None:
    features = np.concatenate([frames(30), frames(30)])
    scored = PatchScorer(Network(), 10, 4)(features, 7)
    np.testing.assert_array_equal(scored, one_by_one(features, 10, 4, 7))


def test_equal_patches_are_scored_once_across_inputs() -> None:
    network = Network()
    scorer = PatchScorer(network, 8, 4)
    needle = frames(40, seed=1)
    haystack = np.tile(np.array([[1, 2, 3]], np.uint8), (20000, 1))
    scene = np.concatenate([haystack, needle, haystack])
    first = scorer(scene, 0)
    few = network.scored
    assert few < 20
    np.testing.assert_array_equal(first, one_by_one(scene, 8, 4, 0))
    np.testing.assert_array_equal(scorer(scene, 0), first)
    np.testing.assert_array_equal(scorer(scene[:5000], 0), first[: scorer.count(5000)])
    assert network.scored == few


def test_memory_is_bounded_and_answers_stay_right() -> None:
    """Three answers of twelve bytes have room with their keys; what was pushed out is scored again."""
    network = Network()
    scorer = PatchScorer(network, 4, 4, memory_bytes=3 * (12 + ENTRY_BYTES))
    for seed in (0, 1, 0, 2, 1):
        features = frames(80, seed)
        np.testing.assert_array_equal(scorer(features, 0), one_by_one(features, 4, 4, 0))
    assert network.scored == 100
    last = frames(80, 1)[-4:]
    scorer(last, 0)
    assert network.scored == 100


def test_no_frames_are_refused() -> None:
    with pytest.raises(NiahError, match="no frames"):
        PatchScorer(Network(), 4, 2)(frames(0), 0)
