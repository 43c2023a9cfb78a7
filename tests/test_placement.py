"""Where the needle lies: the two protocols' arithmetic, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from niah.errors import NiahError
from niah.placement import (
    PROTOCOLS,
    current_protocol,
    effective_position,
    same_scene,
    start_frame,
    total_frames,
)


def test_ten_seconds_is_the_needle_alone() -> None:
    assert total_frames(10) == 1024
    assert start_frame(1024, 1024, 0.7, "dass-v1") == 0
    assert start_frame(1024, 1024, 0.7, "niah-v2") == 0


@pytest.mark.parametrize(
    ("length_s", "frames"), [(50, 5000), (9000, 900000), (10.26, 1026), (11.07, 1107)]
)
def test_lengths_are_100_frames_a_second(length_s: float, frames: int) -> None:
    assert total_frames(length_s) == frames


@pytest.mark.parametrize(
    "length_s", [9, 10.24, 10.25, 0, -5, 0.5, 20.005, float("nan"), float("inf")]
)
def test_lengths_that_make_no_scene_are_refused(length_s: float) -> None:
    with pytest.raises(NiahError, match="length"):
        total_frames(length_s)


def test_dass_v1_counts_from_the_whole_length() -> None:
    starts = [start_frame(5000, 1024, p, "dass-v1") for p in (0, 0.25, 0.5, 0.75, 0.7953)]
    assert starts == [0, 1250, 2500, 3750, 3976]


@pytest.mark.parametrize(
    ("total", "starts"), [(2000, [0, 500, 976, 976, 976]), (1100, [0, 76, 76, 76, 76])]
)
def test_short_scenes_of_dass_v1_have_one_end_for_many_positions(
    total: int, starts: list[int]
) -> None:
    """At 20 s the middle is the end: such a cell mixes length with position."""
    positions = (0, 0.25, 0.5, 0.75, 1)
    assert [start_frame(total, 1024, p, "dass-v1") for p in positions] == starts
    assert [effective_position(total / 100, p, "dass-v1") for p in positions] == pytest.approx(
        [start / (total - 1024) for start in starts]
    )


@pytest.mark.parametrize("position", [0.796, 0.9, 1.0])
def test_dass_v1_moves_an_overrunning_needle_to_the_end(position: float) -> None:
    assert start_frame(5000, 1024, position, "dass-v1") == 3976


def test_niah_v2_counts_from_the_free_room() -> None:
    starts = [start_frame(5000, 1024, p, "niah-v2") for p in (0, 0.25, 0.5, 0.75, 1)]
    assert starts == [0, 994, 1988, 2982, 3976]


@given(
    total=st.integers(1026, 900_000),
    position=st.floats(0, 1),
    protocol=st.sampled_from(PROTOCOLS),
)
def test_the_needle_always_fits(total: int, position: float, protocol: str) -> None:
    assert 0 <= start_frame(total, 1024, position, protocol) <= total - 1024


@pytest.mark.parametrize("position", [-0.01, 1.01, 50, float("nan")])
def test_positions_outside_the_scene_are_refused(position: float) -> None:
    with pytest.raises(NiahError, match="position"):
        start_frame(5000, 1024, position, "dass-v1")


def test_unknown_protocol_names_the_nearest() -> None:
    with pytest.raises(NiahError, match="'dass-v1'"):
        start_frame(5000, 1024, 0.5, "dass-1")


def test_errors_guess_the_mistake() -> None:
    with pytest.raises(NiahError, match="per cent"):
        start_frame(5000, 1024, 50, "dass-v1")
    with pytest.raises(NiahError, match="minutes"):
        total_frames(5)


def test_the_current_niah_protocol_is_its_last_version() -> None:
    assert current_protocol("niah-v2") == current_protocol("niah-v2.1") == "niah-v2.1"
    assert current_protocol("dass-v1") == "dass-v1"
    with pytest.raises(NiahError, match="Did you mean 'niah-v2'"):
        current_protocol("niah-2")


def test_dass_v1_plays_one_20_s_scene_at_three_positions() -> None:
    """The needle of 1024 frames starts at 976 of 2000: it ends with the scene."""
    assert [start_frame(2000, 1024, p, "dass-v1") for p in (0, 0.25, 0.5, 0.75, 1)] == [
        0,
        500,
        976,
        976,
        976,
    ]
    assert [effective_position(20, p, "dass-v1") for p in (0.5, 0.75, 1)] == [1.0, 1.0, 1.0]
    assert effective_position(20, 0.25, "dass-v1") == pytest.approx(500 / 976)
    assert same_scene(20, 0.5, 1, "dass-v1")
    assert not same_scene(20, 0.25, 0.5, "dass-v1")
    assert not same_scene(50, 0.5, 0.75, "dass-v1")
    assert all(same_scene(11, 0.25, p, "dass-v1") for p in (0.5, 0.75, 1))


@pytest.mark.parametrize("protocol", ["niah-v2", "niah-v2.1"])
def test_niah_positions_are_effective_as_requested(protocol: str) -> None:
    for position in (0, 0.25, 0.5, 0.75, 1):
        assert effective_position(20, position, protocol) == pytest.approx(position, abs=1e-3)
    assert not same_scene(20, 0.5, 1, protocol)


def test_effective_positions_follow_the_front_end() -> None:
    assert effective_position(10, 0.7, "dass-v1") == 0.0  # the needle alone
    assert effective_position(20, 0.5, "dass-v1", 998) == 1000 / 1002
