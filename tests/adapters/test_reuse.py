"""Equal windows scored once: the same bits as when all are scored, and no more passes than there are contents."""

from collections import defaultdict
from itertools import product

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor

import niah
from niah.adapters.reuse import ENTRY_BYTES, AnswerMemory, ReusingScorer, digest, is_steady
from niah.adapters.wrappers.sliding_window import SlidingWindow, window_starts
from niah.frontends import Frontend
from niah.frontends.kaldi import AST
from niah.frontends.waveform import WaveformFrontend
from niah.haystacks import Haystack, load_haystack
from niah.haystacks.builders import of_recording
from niah.scenes.builder import SceneBuilder
from niah.scenes.lazy import FeatureBlocks, Scene, Segment, stack
from niah.sweep.options import WINDOW_POOLS
from niah.vocabularies import Vocabulary

Array = NDArray[np.generic]
WAVE = WaveformFrontend(16000)


class Tagger:
    """A tagger of three classes by products and a maximum; it counts the windows that it scores."""

    name, kernel, sample_rate = "tagger", "torch", 16000
    labels = Vocabulary("three", ("a", "b", "c"), ("a", "b", "c"))

    def __init__(self, frontend: Frontend = AST, *, by_place: bool = False) -> None:
        self.frontend = frontend
        self.scored = 0
        self.batches: set[int] = set()
        self._by_place = by_place
        weights = torch.randn(frontend.mels, 3, generator=torch.Generator().manual_seed(0))
        self._weights = weights / frontend.mels**0.5

    def logits(self, features: Tensor) -> Tensor:
        self.scored += len(features)
        self.batches.add(len(features))
        maps = features @ self._weights
        logits: Tensor = maps.amax(dim=1) + maps.mean(dim=1)
        if self._by_place:
            logits = logits + 1e-6 * torch.arange(len(features))[:, None]
        return logits


@pytest.fixture(scope="module")
def tiled(tmp_path_factory: pytest.TempPathFactory) -> Haystack:
    """A recording of 7.5 s, looped."""
    path = tmp_path_factory.mktemp("sounds") / "hum.wav"
    sound = 0.1 * np.random.default_rng(7).standard_normal(120_000)
    soundfile.write(path, sound, 16000)
    return of_recording(path, "hum")


def scenes_of(haystack: Haystack, protocol: str, frontend: Frontend = AST) -> list[Scene]:
    """Scenes of two clips at two lengths and positions."""
    builder = SceneBuilder(frontend, protocol, haystack)
    clips = []
    for seed in (1, 2):
        sound = 0.1 * np.random.default_rng(seed).standard_normal(150_000)
        clips.append(builder.needle(sound.astype(np.float32)))
    snr_db = 5.0 if haystack.needs_snr else None
    return [
        builder.laid_out(clip, f"c{n}", length_s=length_s, position=position, snr_db=snr_db)
        for (n, clip), length_s, position in product(enumerate(clips), (40.0, 50.0), (0.0, 0.7))
    ]


@pytest.mark.parametrize(
    ("name", "protocol", "frontend", "at_once"),
    [
        ("zero", "dass-v1", AST, 3),
        ("silence", "niah-v2.1", WAVE, 1),
        ("tiled", "dass-v1", AST, 1),
        ("tiled", "niah-v2.1", WAVE, 3),
        ("gaussian", "niah-v2.1", AST, 1),
        pytest.param("tiled", "niah-v2", AST, 2, marks=pytest.mark.slow),
        pytest.param("tiled", "niah-v2.1", AST, 1, marks=pytest.mark.slow),
    ],
)
def test_reused_windows_give_the_same_bits(
    name: str, protocol: str, frontend: Frontend, at_once: int, tiled: Haystack
) -> None:
    """Windows of one key are the same rows; pooled logits are those of every window scored."""
    scenes = scenes_of(tiled if name == "tiled" else load_haystack(name), protocol, frontend)
    size, hop = frontend.needle_frames, frontend.needle_frames // 2
    contents, windows = defaultdict(set), 0
    for scene in scenes:
        rows = scene.whole().numpy()
        for start in window_starts(len(rows), size, hop):
            windows += 1
            if (key := scene.content(start, size)) is not None:
                contents[key].add(digest(rows[start : start + size]))
    assert contents
    assert all(len(rows) == 1 for rows in contents.values())
    pool = WINDOW_POOLS[at_once % 3]
    plain, reusing = Tagger(frontend), Tagger(frontend)
    every = SlidingWindow(plain, 10, None, pool, at_once)
    once = SlidingWindow(reusing, 10, None, pool, at_once, reuse=True)
    for length in (4000, 5000):
        same = [scene for scene in scenes if scene.shape[0] == length]
        groups = [same[first : first + at_once] for first in range(0, len(same), at_once)]
        expected = torch.cat([every.logits(stack(group)) for group in groups])
        assert torch.equal(torch.cat([once.logits(FeatureBlocks(g)) for g in groups]), expected)
        assert torch.equal(once.logits(FeatureBlocks(same[:1])), expected[:1])
        assert torch.equal(once.logits(stack(same[:1])), expected[:1])  # by hashes
    assert every.windows_scored == plain.scored == windows or at_once > 1
    assert plain.batches == {at_once}
    assert once.windows_scored < windows
    if name in ("zero", "silence"):
        assert len(contents) == 1  # one for all clips, lengths and positions


def test_windows_of_one_clip_in_noise_are_shared_by_lengths_and_positions(tiled: Haystack) -> None:
    """niah-v2.1's noise has one level, and a longer scene begins as a shorter one does."""
    builder = SceneBuilder(AST, "niah-v2.1", load_haystack("gaussian"))
    clip = builder.needle(np.random.default_rng(0).standard_normal(160_000).astype(np.float32))
    keys = [
        builder.laid_out(clip, "a", length_s=length_s, position=1.0, snr_db=snr_db).content(0, 1024)
        for length_s in (30, 300)
        for snr_db in (0, 20)
    ]
    assert len(set(keys)) == 1
    assert keys[0] is not None
    other = SceneBuilder(AST, "niah-v2.1", tiled)
    assert other.laid_out(None, "a", length_s=30, position=0, snr_db=0).content(0, 1024) != keys[0]
    needle = builder.laid_out(clip, "a", length_s=30, position=0.0, snr_db=0)
    assert needle.content(0, 1024) is None


def test_segments_without_a_name_have_no_key() -> None:
    rows = torch.zeros(4, 2)
    named = Segment(0, 4, lambda *_: None, lambda first, _: f"{first}")
    scene = Scene((named, Segment.of_rows(4, rows)), 2)
    assert scene.content(0, 4) is not None
    assert scene.content(0, 4) != scene.content(1, 3)
    assert scene.content(2, 3) is scene.content(4, 2) is None


def test_answers_that_depend_on_the_place_in_a_batch_are_not_reused(tiled: Haystack) -> None:
    scenes = scenes_of(tiled, "dass-v1")[:2]
    plain = SlidingWindow(Tagger(by_place=True), 10, windows_at_once=4)
    reusing = SlidingWindow(Tagger(by_place=True), 10, windows_at_once=4, reuse=True)
    blocks = FeatureBlocks(scenes)
    assert torch.equal(reusing.logits(blocks), plain.logits(blocks))
    assert reusing.windows_scored == plain.windows_scored
    assert is_steady(lambda batch: batch.sum(axis=1), (5,), 3)
    assert not is_steady(lambda batch: batch.sum(axis=1) + np.arange(len(batch)), (5,), 3)


def test_every_pass_has_as_many_items() -> None:
    sizes: list[int] = []

    def score(items: Array) -> Array:
        sizes.append(len(items))
        return items.astype(np.int64) * 10

    rows = np.array([[1], [2], [1], [3], [1], [2]], np.uint8)
    items = [(bytes(row), lambda row=row: row) for row in rows]
    for memory, passes in ((None, 2), (AnswerMemory(), 1)):
        sizes.clear()
        np.testing.assert_array_equal(ReusingScorer(score, 4, memory)(items), rows * 10)
        assert sizes == [4] * passes


def test_the_least_recently_used_answer_makes_room() -> None:
    memory = AnswerMemory(3 * (8 + ENTRY_BYTES))
    for key in (b"a", b"b", b"c"):
        memory.put(key, np.array([ord(key)], np.int64))
    assert memory.get(b"a") is not None
    memory.put(b"d", np.array([4], np.int64))
    assert memory.get(b"b") is None
    assert len(memory) == 3
    kept = {key: memory.get(key) for key in (b"a", b"c", b"d")}
    assert {key: int(row[0]) for key, row in kept.items() if row is not None} == {
        b"a": 97,
        b"c": 99,
        b"d": 4,
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "model", ["dass-nano", "ast-sin-nano", "ast-sin2d-nano", "aum-nano", "mn04"]
)
@pytest.mark.parametrize("at_once", [1, 4])
def test_networks_give_the_same_bits(model: str, at_once: int, tiled: Haystack) -> None:
    """Every embedded model and a convolutional one, in passes of one window and of four."""
    adapter = niah.load_model(model, checkpoint=None if model.endswith("nano") else "random")
    size = adapter.frontend.needle_frames
    builder = SceneBuilder(adapter.frontend, "niah-v2.1", tiled)
    clip = builder.needle(np.random.default_rng(3).standard_normal(160_000).astype(np.float32))
    scenes = [
        builder.laid_out(clip, "a", position=p, length_s=40, snr_db=5) for p in (0.0, 0.5, 1.0)
    ]
    plain = SlidingWindow(adapter, 10, windows_at_once=at_once)
    reusing = SlidingWindow(adapter, 10, windows_at_once=at_once, reuse=True)
    groups = [scenes[first : first + at_once] for first in range(0, len(scenes), at_once)]
    expected = torch.cat([plain.logits(FeatureBlocks(group)) for group in groups])
    assert torch.equal(torch.cat([reusing.logits(FeatureBlocks(g)) for g in groups]), expected)
    assert torch.equal(torch.cat([reusing.logits(FeatureBlocks([s])) for s in scenes]), expected)
    assert reusing.windows_scored < plain.windows_scored
    rows = np.random.default_rng(4).standard_normal((4, size, adapter.frontend.mels), np.float32)
    assert is_steady(
        lambda batch: adapter.logits(torch.from_numpy(batch)).numpy(), rows[0].shape, 4
    )
