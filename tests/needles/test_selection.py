"""The choice of a limited number of clips."""

import hashlib
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from niah.errors import NiahError
from niah.needles import Needle, NeedleSet
from niah.needles.needle import FileSource
from niah.needles.selection import select
from niah.vocabularies import Vocabulary

Clips = list[tuple[str, ...]]


CLIPS = st.lists(
    st.lists(st.sampled_from("abcdef"), min_size=1, max_size=3, unique=True).map(tuple),
    min_size=1,
    max_size=40,
)


def made(label_sets: Clips) -> list[Needle]:
    source = FileSource(Path("x.wav"))
    return [Needle(f"clip{i}", labels, source) for i, labels in enumerate(label_sets)]


@given(CLIPS, st.integers(0, 3), st.randoms())
@settings(max_examples=60, deadline=None)
def test_selection_is_a_prefix_and_blind_to_row_order(
    label_sets: Clips, seed: int, rng: Random
) -> None:
    needles = made(label_sets)
    whole = select(needles, None, seed)
    assert sorted(n.id for n in whole) == sorted(n.id for n in needles)
    for limit in range(1, len(needles) + 2):
        assert select(needles, limit, seed) == whole[:limit]
    shuffled = list(needles)
    rng.shuffle(shuffled)
    assert select(shuffled, None, seed) == whole


def test_single_label_clips_are_taken_evenly() -> None:
    label_sets: Clips = [("abcdef"[i % 6],) for i in range(60)]
    label_sets += [("a",)] * 40
    taken = select(made(label_sets), 24)
    assert set(Counter(n.labels[0] for n in taken).values()) == {4}
    assert [n.id for n in select(made(label_sets), 24, seed=1)] != [n.id for n in taken]


def test_rare_labels_are_taken_before_common_ones() -> None:
    label_sets: Clips = [("common",)] * 100 + [("rare", "common")]
    assert select(made(label_sets), 1)[0].labels == ("rare", "common")


def test_limit_below_one_is_refused() -> None:
    with pytest.raises(NiahError, match="--limit must be 1 or more but 0"):
        select(made([("a",)]), 0)


def test_id_list_hash_is_of_the_ids_in_order() -> None:
    labels = Vocabulary("v", ("a",), ("A",))
    needles = NeedleSet("x", labels, tuple(made([("a",), ("a",)])), "none")
    assert needles.ids_sha256 == hashlib.sha256(b"clip0\nclip1").hexdigest()
    assert needles.targets().tolist() == [[True], [True]]
