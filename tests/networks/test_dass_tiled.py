"""DASS in tiles: the same logits as whole, whatever the tiles, lengths and batches; and no whole map but two."""

import mmap
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import niah
from niah.adapters.dass import Dass as DassAdapter
from niah.errors import NiahError
from niah.networks.dass import first_stage, map_buffers
from niah.networks.dass import tiled as dass_tiled
from niah.networks.dass.block_work import BlockWork, MapWork
from niah.networks.dass.blocks import SS2D, Block, convolve
from niah.networks.dass.depthwise import depthwise_silu
from niah.networks.dass.map_buffers import MapBuffers, waves
from niah.networks.dass.network import DassConfig
from niah.networks.dass.tiled import TiledDass, feature_map
from niah.networks.dass.tiling import Tiling, largest_tensor
from niah.networks.dass.windows import Windowed, spans
from niah.scan import Backend
from niah.scenes.lazy import FeatureBlocks, Scene
from tests.helpers.goldens import load_golden
from tests.helpers.largest import LargestTensor

TOLERANCE = 1e-5
OFFICIAL = DassConfig(
    depths=(1, 2, 1, 1), dims=(8, 16, 32, 48), stem=(4, 8), classes=7, initial_std=0
)
PATCHES = DassConfig(depths=(1, 2), dims=(16, 24), patch=8, classes=5, initial_std=0)
# tiles of a column or two, and neither a divisor of the other; the scans in one go and in two passes
SMALL = {"hidden": 0, "job": 0}
TILINGS = [
    Tiling(),
    Tiling(32, 32, **SMALL, slab=64, short=0),
    Tiling(96, 64, **SMALL, slab=500, short=0),
    Tiling(96, 64, **SMALL),
]


def network(config: DassConfig, seed: int = 0) -> TiledDass:
    """Seeded, with norms and biases that matter."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = TiledDass(config)
        for module in made.modules():
            if isinstance(module, nn.LayerNorm):
                nn.init.normal_(module.weight, 1, 0.3)
                nn.init.normal_(module.bias, 0, 0.3)
            if isinstance(module, SS2D):
                nn.init.normal_(module.dt_projs_bias, -4, 1)  # long memories
                nn.init.normal_(module.x_proj_weight, 0, 1)
    return made.eval().requires_grad_(False)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def tiled_logits(net: TiledDass, x: Tensor, tiling: Tiling) -> Tensor:
    with torch.no_grad():
        out: Tensor = net.classifier.head(feature_map(net, x, tiling).mean(dim=(1, 2)))
    return out


@pytest.mark.parametrize("config", [OFFICIAL, PATCHES])
@pytest.mark.parametrize(
    ("backend", "batch", "frames"),
    [
        *(("cpu", 1, 8), ("cpu", 1, 33), ("cpu", 3, 129), ("cpu", 1, 301)),
        *(("chunked", 1, 33), ("chunked", 2, 65)),  # slow, and the same tiles
        pytest.param("chunked", 3, 129, marks=pytest.mark.slow),
        pytest.param("chunked", 1, 301, marks=pytest.mark.slow),
    ],
)
@pytest.mark.usefixtures("two_threads")
def test_tiles_give_the_logits_of_the_whole(
    config: DassConfig, batch: int, frames: int, backend: Backend
) -> None:
    net, x = network(config), noise(batch, frames, 128)
    net.set_scan_backend(backend)
    whole = net.whole(x)
    for tiling in TILINGS:
        assert float((tiled_logits(net, x, tiling) - whole).abs().max()) < TOLERANCE
    assert torch.get_num_threads() == 2  # workers have their own


def test_forward_is_tiled_exactly_where_no_gradient_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net, x = network(OFFICIAL), noise(1, 100, 128)
    calls = []

    def counted(*args: object) -> Tensor:
        calls.append(1)
        return feature_map(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(dass_tiled, "feature_map", counted)
    net(x)
    assert not calls  # gradients are enabled
    with torch.no_grad():
        net.train()(x)
        assert not calls
        tiled = net.eval()(x)
    assert len(calls) == 1
    torch.testing.assert_close(tiled, net.whole(x), atol=TOLERANCE, rtol=0)


def test_tiles_and_whole_give_the_official_logits() -> None:
    """The strong golden, in which the scan matters; the default tiling goes through all of them in test_adapters."""
    golden = load_golden("dass-small-strong")
    net = TiledDass(DassConfig()).eval().requires_grad_(False)
    net.load_state_dict(DassAdapter.official_state(golden.state, net))
    for features, expected in golden.cases():
        small_tiles = tiled_logits(net, features, Tiling(160, 96, **SMALL, short=0))
        for found in (small_tiles, net.whole(features)):
            assert np.abs(found.numpy() - expected).max() <= TOLERANCE


def test_logits_are_the_mean_of_the_positions() -> None:
    net, x = network(OFFICIAL), noise(2, 321, 128)
    with torch.no_grad():
        logits, positions = net(x), net.position_logits(x)
    assert positions.shape == (2, 11, 4, 7)  # 32 frames a column
    torch.testing.assert_close(positions.mean(dim=(1, 2)), logits, atol=TOLERANCE, rtol=0)


def test_a_feature_map_stands_on_its_own() -> None:
    """It holds no more memory than it shows, and another forward does not change it."""
    net = network(OFFICIAL)
    first = net.feature_map(noise(1, 500, 128))
    before = first.clone()
    net.feature_map(noise(1, 500, 128, seed=1))
    assert torch.equal(first, before)
    assert first.untyped_storage().nbytes() == first.numel() * 4


@pytest.mark.parametrize("whole", [False, True])
def test_less_than_a_patch_is_refused_in_words(whole: bool) -> None:
    net = network(PATCHES)
    with torch.set_grad_enabled(whole), pytest.raises(NiahError, match="at least 8 frames"):
        net(noise(1, 7, 128))
    net(noise(1, 8, 128))
    network(OFFICIAL)(noise(1, 1, 128))  # halvings round up


def test_features_may_have_another_dtype() -> None:
    net, x = network(OFFICIAL), noise(1, 200, 128).half()
    with torch.no_grad():
        torch.testing.assert_close(net(x), net.whole(x.float()), atol=TOLERANCE, rtol=0)


def test_sixteen_bit_networks_go_by_slabs() -> None:
    net, x = network(OFFICIAL), noise(1, 200, 128)
    exact = net.whole(x)
    with torch.no_grad():
        found = net.to(torch.bfloat16)(x)
    assert found.dtype == torch.bfloat16
    assert float((found.float() - exact).abs().max() / exact.abs().max()) < 0.05


@pytest.mark.parametrize("frames", [1, 2, 31, 32, 33, 100])
@pytest.mark.parametrize("config", [OFFICIAL, PATCHES])
def test_windows_are_cut_from_the_whole(config: DassConfig, frames: int) -> None:
    layers = network(config).patch_embed
    if config.patch and frames < config.patch:
        return
    x = noise(2, frames, 16, 1)
    whole, windowed = layers(x), Windowed(layers)
    assert windowed.size(frames) == whole.shape[1]
    assert windowed.channels == whole.shape[3]
    for first in range(whole.shape[1]):
        for last in range(first + 1, whole.shape[1] + 1, 3):
            low, high = windowed.needs(first, last, frames)
            found = windowed.window(x[:, low:high], first, last, frames)
            torch.testing.assert_close(found, whole[:, first:last], atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 5), (2, 3, 50), (5, 4, 96)])
def test_fused_depthwise_is_torchs(shape: tuple[int, int, int]) -> None:
    columns, rows, channels = shape
    conv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
    x = 3 * noise(1, columns, rows, channels)
    expected = nn.functional.silu(convolve(x, conv))[0]
    kernel = conv.weight.detach().squeeze(1).permute(2, 1, 0).contiguous()
    out = torch.full(shape, float("nan"))
    depthwise_silu(nn.functional.pad(x[0], (0, 0, 0, 0, 1, 1)), kernel, out)
    torch.testing.assert_close(out, expected, atol=1e-6, rtol=1e-6)


def test_spans_cover_all_once() -> None:
    assert spans(0, 10, 4) == [(0, 4), (4, 8), (8, 10)]
    assert spans(3, 5, 0) == [(3, 4), (4, 5)]
    assert spans(0, 0, 4) == []


@pytest.mark.parametrize("backend", ["cpu", "chunked"])
@pytest.mark.parametrize("config", [OFFICIAL, PATCHES])
@pytest.mark.parametrize(("batch", "frames"), [(1, 300), (3, 1000)])
def test_no_tensor_is_larger_than_said(
    config: DassConfig, batch: int, frames: int, backend: Backend
) -> None:
    net = network(config)
    net.set_scan_backend(backend)
    with LargestTensor() as largest, torch.no_grad():
        net(noise(batch, frames, 128))
    said = largest_tensor(config, batch, frames, 128)
    slack = 1.1 if backend == "chunked" else 1.0  # its chunks are padded
    assert said / 8 < largest.elements <= slack * said


def test_adapter_says_what_its_largest_tensor_is() -> None:
    adapter = niah.load_model("dass-nano")
    assert isinstance(adapter, DassAdapter)
    columns = 900_000 // 8
    assert (
        adapter.largest_tensor(1, 900_000) == 900_000 * 128
    )  # the input, as its first map is small
    assert adapter.largest_tensor(1, 900_000) > columns * 16 * 32
    assert adapter.safe_batch(900_000) > 1


@pytest.mark.parametrize("fails", ["_front", "_back"])
def test_out_of_memory_leaves_the_next_forward_whole(
    monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    net, x = network(OFFICIAL), noise(1, 700, 128)
    net.set_scan_backend("cpu")
    expected = tiled_logits(net, x, TILINGS[1])
    work = getattr(BlockWork, fails)
    count = iter(range(1000))

    def failing(*args: object) -> None:
        if next(count) == 5:
            raise MemoryError
        work(*args)

    monkeypatch.setattr(BlockWork, fails, failing)
    with pytest.raises(MemoryError):
        tiled_logits(net, x, TILINGS[1])
    monkeypatch.undo()
    assert torch.equal(tiled_logits(net, x, TILINGS[1]), expected)


def test_a_block_reaches_past_two_to_the_31_elements(tmp_path: Path) -> None:
    """The far end of a map in a sparse file: the last columns are what a small map gives."""
    net = network(DassConfig(depths=(1,), dims=(96,), stem=(96,), classes=2, initial_std=0))
    block = next(module for module in net.modules() if isinstance(module, Block))
    columns, rows, channels, last = 700_000, 32, 96, 4
    small = noise(1, last, rows, channels)
    kept = small.clone()
    results = []
    for first, x in (
        (0, kept),
        (columns - last, sparse(tmp_path / "x", 1, columns, rows, channels)),
    ):
        x[:, first : first + last] = small
        u = sparse(tmp_path / f"u{first}", *x.shape)
        work = MapWork(block, x, tile=2, fused=True)
        y = u[:, first + 1 : first + last]
        work.front((0, 1, first + 1, first + last), y)
        work.back((0, 1, first + 1, first + last), y)
        results.append((y.clone(), x[:, first + 1 : first + last].clone()))
    assert columns * rows * channels > 2**31
    for near, far in zip(*results, strict=True):
        torch.testing.assert_close(far, near, atol=1e-6, rtol=0)
        assert float(far.abs().max()) > 0


def sparse(path: Path, *shape: int) -> Tensor:
    return torch.from_numpy(np.memmap(path, np.float32, mode="w+", shape=shape))


@pytest.mark.parametrize("config", [OFFICIAL, PATCHES])
@pytest.mark.parametrize(("batch", "frames"), [(1, 301), (3, 129), (2, 1030)])
@pytest.mark.parametrize("second", [0, 20_000])
@pytest.mark.usefixtures("two_threads")
def test_one_buffer_gives_the_bits_of_two(
    config: DassConfig, batch: int, frames: int, second: int
) -> None:
    net, x = network(config), noise(batch, frames, 128)
    net.set_scan_backend("cpu")
    sizes = {**SMALL, "short": 0}
    two = feature_map(net, x, Tiling(96, 64, **sizes))
    one = feature_map(net, x, Tiling(96, 64, **sizes, second=second))
    assert torch.equal(one, two)


@pytest.mark.parametrize(
    ("config", "chunk"),
    [
        (OFFICIAL, 32),  # one column
        (OFFICIAL, 96),
        (replace(OFFICIAL, depths=(2, 1, 1, 1)), 96),
        (replace(OFFICIAL, depths=(3, 1, 1, 1)), 128),
        (PATCHES, 96),
    ],
)
@pytest.mark.parametrize(("batch", "frames"), [(1, 8), (1, 301), (2, 517)])
@pytest.mark.usefixtures("two_threads")
def test_a_first_map_that_is_never_whole_gives_the_same_bits(
    config: DassConfig, chunk: int, batch: int, frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_stage, "SEGMENT", 4)
    net, x = network(config), noise(batch, frames, 128)
    net.set_scan_backend("cpu")
    sizes = {**SMALL, "short": 0, "second": 0}
    whole = feature_map(net, x, Tiling(chunk, 64, **sizes))
    assert torch.equal(feature_map(net, x, Tiling(chunk, 64, **sizes, first=0)), whole)


def test_a_first_map_past_its_limit_is_never_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_stage, "SEGMENT", 4)
    net = network(replace(OFFICIAL, depths=(2, 1, 1, 1)))
    net.set_scan_backend("cpu")
    features: Any = FeatureBlocks([Scene.of_rows(noise(2048, 64))])  # rendered in parts
    first = 2048 // 4 * 16 * 8  # elements of the map behind the stem; the next has half of them
    tiling = Tiling(96, 64, **SMALL, short=0, second=0, window=1 << 10)
    for limit, most in ((first, first), (first - 1, first // 2)):
        limited = replace(tiling, first=limit)
        with LargestTensor() as largest, torch.no_grad():
            feature_map(net, features, limited)
        assert largest.elements == most


def test_one_buffer_is_no_larger_than_the_first_map() -> None:
    net = network(OFFICIAL)
    net.set_scan_backend("cpu")
    frames = 2048
    tiling = Tiling(96, 64, **SMALL, short=0, second=0, window=1 << 13)
    with LargestTensor() as largest, torch.no_grad():
        last = feature_map(net, noise(1, frames, 128), tiling)
    first = frames // 4 * 32 * 8
    assert largest.elements == max(first, frames * 128)
    assert last.untyped_storage().nbytes() == 4 * first


@pytest.mark.parametrize("columns", [4, 7, 64, 301])
@pytest.mark.parametrize("size", [1, 3, 16])
def test_waves_overwrite_nothing_that_is_still_to_be_read(columns: int, size: int) -> None:
    layers = Windowed([nn.Conv2d(2, 4, 3, stride=2, padding=1)])
    chunks = [(0, 1, *span) for span in spans(0, layers.size(columns), size)]

    def needs(first: int, last: int) -> tuple[int, int]:
        return layers.needs(first, last, columns)

    groups = waves(chunks, needs, 8, 8)
    assert [chunk for group in groups for chunk in group] == chunks
    written = 0
    for group in groups:
        for chunk in group:
            reads = needs(*chunk[2:])
            assert reads[0] >= written or written == 0
            others = [other for other in group if other != chunk]
            assert all(other[3] <= reads[0] or other[2] >= reads[1] for other in others)
        written = group[-1][3]
    assert len(groups) <= 4 + 2 * np.log2(len(chunks))


def test_pages_between_two_maps_go_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(map_buffers, "MAPPED", 1)
    page = mmap.PAGESIZE // 4  # elements
    buffers = MapBuffers(torch.empty(0))
    whole = buffers.room(10 * page)
    buffers.swap()
    whole.fill_(1)
    buffers.own, buffers.spare = whole[: 4 * page], whole[4 * page :]
    buffers.shrink(page + 5)
    assert len(buffers.own) == len(buffers.spare) == page + 5
    gone = (whole.view(10, page) == 0).all(dim=1)
    assert gone.tolist() == [sys.platform == "linux" and n in (2, 3, 6, 7, 8, 9) for n in range(10)]
    assert bool((buffers.own == 1).all())
    assert bool((buffers.spare == 1).all())


@pytest.mark.parametrize("config", [OFFICIAL, PATCHES], ids=["official", "patches"])
def test_autocast_on_a_cpu_is_left_to_torch(config: DassConfig) -> None:
    """Jobs of one thread hand their tensors to numpy, which has no bfloat16."""
    made, x = network(config), noise(2, 96, 128)
    with torch.inference_mode():
        truth = made(x)
        with torch.autocast("cpu", torch.bfloat16):
            found = made(x)
    assert found.dtype == torch.bfloat16
    assert float((found - truth).norm() / truth.norm()) < 3e-2
