"""Scenes that are not in memory: the same rows in any blocks, the same logits, and a bounded peak."""

import sys
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor

import niah
from niah.adapters.dass import Dass
from niah.adapters.wrappers.lazy_features import InBlocks, ReadsBlocks
from niah.errors import NiahError
from niah.haystacks import load_haystack
from niah.haystacks.segments import NoisePath
from niah.needles.features import NeedleFeatures
from niah.scenes.builder import Piece, SceneBuilder
from niah.scenes.lazy import FeatureBlocks, Scene, Segment, stack
from tests.helpers.preloaded import Preloaded


def builder(haystack: str = "gaussian", protocol: str = "niah-v2") -> SceneBuilder:
    frontend = niah.load_model("dass-nano").frontend
    return SceneBuilder(frontend, protocol, load_haystack(haystack))


def needle(build: SceneBuilder, seed: int = 0) -> NeedleFeatures:
    clip = 0.1 * np.random.default_rng(seed).standard_normal(160_000)
    return build.needle(clip.astype(np.float32))


# --- a scene of hand-made stretches


def counting(start: int, stop: int, base: float) -> Segment:
    def render(rows: Tensor, first: int) -> None:
        rows[:] = base + first + torch.arange(len(rows))[:, None]

    return Segment(start, stop, render)


def test_stretches_lie_where_they_say() -> None:
    rows = torch.full((2, 3), -1.0)
    scene = Scene((counting(0, 3, 100), Segment.of_rows(3, rows), counting(5, 9, 500)), 3)
    expected = [100, 101, 102, -1, -1, 500, 501, 502, 503]
    assert scene.shape == (9, 3)
    assert scene.whole()[:, 0].tolist() == expected
    for first in range(9):
        for last in range(first, 10):
            result = scene.render(torch.empty(min(last, 9) - first, 3), first)
            assert result[:, 2].tolist() == expected[first:last]


def test_a_scene_goes_where_it_is_told_or_nowhere() -> None:
    scene = Scene.of_rows(torch.ones(4, 3))
    out = torch.zeros(4, 3)
    assert scene.whole(out) is out
    assert bool((out == 1).all())
    for wrong in (torch.zeros(5, 3), torch.zeros(4, 3, dtype=torch.float64)):
        with pytest.raises(NiahError, match=r"out must be a float32 CPU tensor of shape \(4, 3\)"):
            scene.whole(wrong)


def test_a_course_is_read_from_anywhere() -> None:
    course = NoisePath(((7, 3), (100, 1), (20, 4)))
    hops = [7, 8, 9, 100, 20, 21, 22, 23]
    for first in range(9):
        for count in range(10):
            result = [hop + i for hop, n in course.pieces(first, count) for i in range(n)]
            assert result == hops[first : first + count]


# --- real scenes


@pytest.mark.parametrize("protocol", ["dass-v1", "niah-v2", "niah-v2.1"])
@pytest.mark.parametrize("haystack", ["zero", "gaussian", "babble"])
def test_blocks_of_a_scene_are_the_scenes_rows(protocol: str, haystack: str) -> None:
    """To the last bit, across the edges of segments, of the needle and of the bank's and the official blocks."""
    build = builder(haystack, protocol)
    fresh = builder(haystack, protocol)  # none of its bank is there yet
    where: Any = {"length_s": 450.0, "position": 0.5}
    where["snr_db"] = None if haystack == "zero" else 5.0
    for clip, sham in ((needle(build), False), (None, False), (None, True)):
        whole = build.scene(clip, "a", sham=sham, **where)
        blocks = FeatureBlocks([fresh.laid_out(clip, "a", sham=sham, **where)])
        assert blocks.shape == (1, 45_000, 128)
        for size in (997, 20_000):
            read = [blocks[0:1, first : first + size] for first in range(0, 45_000, size)]
            assert torch.equal(torch.cat(read, dim=1)[0], whole)


def test_blocks_of_a_batch_are_slices_of_the_batch() -> None:
    build = builder()
    scenes = [
        build.laid_out(needle(build, n), f"c{n}", length_s=30, position=0.2 * n, snr_db=0)
        for n in range(3)
    ]
    batch, blocks = stack(scenes), FeatureBlocks(scenes)
    assert len(blocks) == 3
    assert blocks.shape == batch.shape
    assert torch.equal(blocks[1:3, 100:2500], batch[1:3, 100:2500])
    assert torch.equal(blocks[1:2][0:1, 5:6], batch[1:2, 5:6])
    assert torch.equal(blocks.unsqueeze(-1)[2:3][0:1, 40:90], batch.unsqueeze(-1)[2:3, 40:90])
    assert blocks[0:1, 2990:4000].shape == (1, 10, 128)
    with pytest.raises(ValueError, match="at their end"):
        blocks.unsqueeze(0)


def test_several_pieces_are_read_in_blocks_too() -> None:
    build = builder()
    clip = needle(build)
    pieces = [Piece(clip, 300, 100, 200), Piece(clip, 900, 0, 50)]
    scene = build.arranged(pieces, "a", length_s=20, snr_db=0)
    whole = scene.whole()
    assert torch.equal(whole[300:500], clip.features[100:300])
    assert torch.equal(scene.render(torch.empty(700, 128), 250), whole[250:950])


# --- through a network


@pytest.mark.parametrize(
    ("backend", "threads", "length_s"), [("cpu", 1, 60), ("cpu", 2, 60), ("chunked", 1, 12)]
)
def test_logits_of_blocks_are_those_of_the_whole(
    backend: Literal["cpu", "chunked"], threads: int, length_s: float
) -> None:
    """60 s are 12,000 positions in the first stage, three chunks of the threaded way; the other way has no chunks."""
    adapter = niah.load_model("dass-nano")
    assert isinstance(adapter, Dass)
    adapter.network.set_scan_backend(backend)
    build = builder("babble")
    scenes = [
        build.laid_out(needle(build, n), f"c{n}", length_s=length_s, position=0.3, snr_db=5)
        for n in range(2)
    ]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        in_blocks = InBlocks(adapter)
        for some in (scenes[:1], scenes):
            whole = adapter.logits(stack(some))
            assert torch.equal(in_blocks.logits(FeatureBlocks(some)), whole)
        assert torch.equal(in_blocks.logits(stack(scenes)), whole)
    finally:
        torch.set_num_threads(before)
    assert in_blocks.kernel == f"scan-{backend}+blocks"


def test_who_reads_blocks_says_so() -> None:
    assert isinstance(niah.load_model("dass-nano"), ReadsBlocks)
    other = niah.load_model("ast-sin-nano")
    assert not isinstance(other, ReadsBlocks)
    with pytest.raises(TypeError, match="has no block_logits"):
        InBlocks(other)


# --- memory

PEAKS = """
import ctypes
import sys
import torch
import niah
from niah.adapters.wrappers.lazy_features import InBlocks
from niah.haystacks import load_haystack
from niah.sweep.inference import infer
from niah.scenes.lazy import Scene
from niah.scenes.builder import SceneBuilder
ctypes.CDLL(None).mallopt(-3, 1 << 18)  # M_MMAP_THRESHOLD: whatever is freed is given back, so no hole counts
adapter = niah.load_model("dass-nano")
build = SceneBuilder(adapter.frontend, "niah-v2", load_haystack("silence"))

class FirstFrames:
    labels = range(adapter.frontend.mels)

    def logits(self, features):
        return features[:, :8].mean(dim=1)

who, batch = {
    "blocks": (InBlocks(adapter), 1), "whole": (adapter, 1), "scenes": (FirstFrames(), 2)
}[sys.argv[1]]

def peak(length_s):
    scenes = (build.laid_out(None, f"c{i}", length_s=length_s, position=0) for i in range(2 * batch))
    return infer(who, scenes, batch, torch.device("cpu"), lambda _: None).peak_memory_bytes

short, long = map(float, sys.argv[2:])
peak(short)  # compiles what a long scene needs
less, more = peak(short), peak(long)
print((more - less) / (batch * 100 * (long - short) * 128 * 4))
"""


def growth(preloaded: Preloaded, how: str, long_s: float = 900.0) -> float:
    """Bytes of peak memory for each byte of a batch of scenes, from 4 minutes to `long_s`: fixed costs fall out."""
    process = preloaded.start(PEAKS, how, 240.0, long_s)
    printed, error = process.communicate()
    assert process.returncode == 0, error
    return float(printed)


@pytest.mark.skipif(sys.platform != "linux", reason="the peak can be reset on Linux alone")
def test_a_quarter_of_an_hour_in_blocks_is_never_whole(preloaded: Preloaded) -> None:
    """The two maps of dass-nano are half a scene each; a whole scene beside them would make two."""
    assert 0.8 < growth(preloaded, "blocks") < 1.5


@pytest.mark.skipif(sys.platform != "linux", reason="the peak can be reset on Linux alone")
def test_a_batch_of_scenes_is_in_memory_once(preloaded: Preloaded) -> None:
    """Neither stacked from others, nor beside the batch before it; and a whole scene goes into a network uncopied."""
    assert 0.8 < growth(preloaded, "scenes", 3600.0) < 1.3
    assert 1.6 < growth(preloaded, "whole") < 2.5
