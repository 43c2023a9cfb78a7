"""Where things lie: repeated needles, distractors, the loudest stretch; and the scenes made of them, frame by frame."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from niah.errors import NiahError
from niah.frontends.kaldi import AST
from niah.haystacks import load_haystack
from niah.needles import NeedleSet
from niah.needles.distractors import Distractors
from niah.needles.features import NeedleFeatures, loudest_segment
from niah.needles.needle import FileSource, Needle
from niah.placement import arrange, start_frame
from niah.scenes.builder import Piece, SceneBuilder
from niah.vocabularies import vocabulary
from tests.helpers import tiny


@pytest.mark.parametrize("protocol", ["dass-v1", "niah-v2"])
@pytest.mark.parametrize("position", [0.0, 0.3, 1.0])
def test_one_needle_lies_where_the_protocol_has_it(protocol: str, position: float) -> None:
    placed = arrange(5000, 1024, position, protocol)
    assert placed.needles == (start_frame(5000, 1024, position, protocol),)
    assert placed.distractors == ()


def test_needles_are_spread_evenly_and_the_position_is_within_each_section() -> None:
    assert arrange(6000, 1000, 0.0, "niah-v2", needles=3).needles == (0, 2000, 4000)
    assert arrange(6000, 1000, 1.0, "niah-v2", needles=3).needles == (1000, 3000, 5000)
    assert arrange(6000, 1000, 0.5, "niah-v2", needles=3).needles == (500, 2500, 4500)


def test_distractors_take_the_longest_stretch_that_is_free() -> None:
    placed = arrange(10000, 1000, 0.2, "niah-v2", distractors=2)  # needle at 1800 to 2800
    assert placed.needles == (1800,)
    assert placed.distractors == (
        3850,
        5900,
    )  # middle of 2800..10000, then of 6900..10000 or 2800..5900


@settings(max_examples=200, deadline=None)
@given(
    total=st.integers(1100, 30_000),
    position=st.floats(0, 1),
    needles=st.integers(1, 5),
    distractors=st.integers(0, 5),
    protocol=st.sampled_from(["dass-v1", "niah-v2"]),
)
def test_nothing_overlaps_or_sticks_out(
    total: int, position: float, needles: int, distractors: int, protocol: str
) -> None:
    try:
        placed = arrange(total, 500, position, protocol, needles, distractors)
    except NiahError as error:
        assert "do not fit" in str(error)  # noqa: PT017
        return
    starts = sorted((*placed.needles, *placed.distractors))
    assert len(starts) == needles + distractors
    edges = [0, *(edge for start in starts for edge in (start, start + 500)), total]
    assert edges == sorted(edges)
    alone = arrange(total, 500, position, protocol, needles)
    assert alone.needles == placed.needles


def test_the_loudest_segment_is_found_and_padding_never_is() -> None:
    features = torch.full((1024, 128), -0.5)
    features[300:400] = 0.3
    features[600:] = 0.467  # raw zeros behind a clip of 6 s: louder than its sound
    needle = NeedleFeatures(features, 0.1, 96_000, 600)
    assert loudest_segment(needle, 100) == 300
    assert loudest_segment(needle, 600) == 0
    assert loudest_segment(needle, 700) == 0
    assert loudest_segment(NeedleFeatures(features, 0.1, 1, 1024), 100) == 600


Clip = Callable[[int], NeedleFeatures]


@pytest.fixture(scope="module")
def mixing() -> SceneBuilder:
    return SceneBuilder(AST, "niah-v2", load_haystack("gaussian"), level="mix")


def sound(index: int) -> NDArray[np.float32]:
    return tiny.tone(index).astype(np.float32)


@pytest.mark.parametrize("haystack", ["zero", "gaussian"])
def test_a_scene_of_one_whole_piece_is_the_plain_scene(haystack: str) -> None:
    build = SceneBuilder(AST, "niah-v2", load_haystack(haystack))
    needle = build.needle(sound(0))
    snr_db = 5.0 if haystack == "gaussian" else None
    plain = build.scene(needle, "a", length_s=30, position=0.5, snr_db=snr_db)
    piece = Piece(needle, start_frame(3000, 1024, 0.5, "niah-v2"), 0, 1024)
    assert torch.equal(plain, build.arranged([piece], "a", length_s=30, snr_db=snr_db).whole())


def test_pieces_are_the_clips_frames_and_the_haystack_flows_around_them() -> None:
    """Cut open, not painted over: taken out, what is left is the noise in one piece, at the level it should have."""
    build = SceneBuilder(AST, "niah-v2", load_haystack("gaussian"))
    first, second = build.needle(sound(0)), build.needle(sound(1))
    pieces = [Piece(first, 200, 100, 300), Piece(second, 900, 0, 300)]
    scene = build.arranged(pieces, "a", length_s=20, snr_db=0).whole()
    assert torch.equal(scene[200:500], first.features[100:400])
    assert torch.equal(scene[900:1200], second.features[:300])
    left = torch.cat([scene[:200], scene[500:900], scene[1200:]])
    noise = build.noise(first, "a", total=2000, snr_db=0, hidden=600)
    expected = torch.empty(1400, 128)
    build._fill(expected, noise, 0)
    assert torch.equal(left, expected)


def test_under_mix_a_cut_piece_is_of_clip_plus_noise(mixing: SceneBuilder) -> None:
    needle = mixing.needle(sound(0))
    scene = mixing.arranged([Piece(needle, 700, 250, 200)], "a", length_s=20, snr_db=3).whole()
    noise = mixing.noise(needle, "a", total=2000, snr_db=3)
    assert noise is not None
    assert needle.waveform is not None
    wave = needle.waveform[250 * 160 : 250 * 160 + AST.samples(200)]
    mixed = torch.from_numpy(wave + mixing.noise_samples(noise, 700, len(wave)))
    expected = AST.normalise(AST.log_mel(AST.energies(mixed[None])[0]))
    assert torch.equal(scene[700:900], expected)
    bare = mixing.scene(None, "a", length_s=20, position=0, snr_db=3, like=needle)
    assert torch.equal(scene[:700], bare[:700])
    assert torch.equal(scene[900:], bare[900:])


def test_pieces_that_overlap_or_stick_out_are_refused() -> None:
    build = SceneBuilder(AST, "niah-v2", load_haystack("zero"))
    needle = build.needle(sound(0))
    for pieces in ([], [Piece(needle, 0, 0, 500), Piece(needle, 400, 0, 500)]):
        with pytest.raises(NiahError, match="lie apart"):
            build.arranged(pieces, "a", length_s=20)
    with pytest.raises(NiahError, match="lie apart"):
        build.arranged([Piece(needle, 1800, 0, 500)], "a", length_s=20)


def clips(*labels: tuple[str, ...]) -> NeedleSet:
    made = [Needle(f"clip{i}", each, FileSource(tiny.REPOSITORY)) for i, each in enumerate(labels)]
    return NeedleSet("made", vocabulary("esc-50"), tuple(made), "")


def test_distractors_are_the_nearest_that_share_no_label() -> None:
    ids = vocabulary("esc-50").ids
    needles = clips((ids[3],), (ids[3], ids[4]), (ids[5],), (ids[2],), (ids[40],), (ids[4],))
    chosen = Distractors(needles, seed=0)
    assert set(chosen.of(0, 2)) == {3, 5}  # one class away on either side
    assert list(chosen.of(0, 4))[2:] == [2, 4]
    assert chosen.labels(0, 3)[2:] == (ids[5],)
    assert list(chosen.of(0, 4)) == list(Distractors(needles, seed=0).of(0, 4))
    with pytest.raises(NiahError, match="only 4 clips share no label with clip0"):
        chosen.of(0, 5)


def test_ties_are_drawn_by_seed_and_clip() -> None:
    ids = vocabulary("esc-50").ids
    needles = clips(*([(ids[0],)] * 20), *([(ids[1],)] * 20))
    chosen = Distractors(needles, seed=0)
    assert len({tuple(chosen.of(index, 2)) for index in range(20)}) > 10
    assert any(chosen.of(i, 2) != Distractors(needles, seed=1).of(i, 2) for i in range(5))
