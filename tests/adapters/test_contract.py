"""The contract of adapters, for every family of this package, each as a network of a few thousand parameters."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

import niah
from niah.adapters.loaded_weights import count_changes
from niah.adapters.loading import adapter_info
from niah.adapters.network_adapter import NetworkAdapter
from niah.adapters.protocol import Adapter
from niah.errors import NiahError
from tests.helpers.largest import LargestTensor
from tests.helpers.small_card import small_card

VIT = "width = 64\ndepth = 2\nheads = 2"


@dataclass(frozen=True)
class Family:
    """A small network; `least` frames have logits, as have `longer` ones but where there is no native mode."""

    adapter: str
    config: str
    mels: int = 128
    own: int = 1024
    longer: int = 2500
    least: int = 16
    native: bool = True
    decibels: bool = False  # features as HTS-AT's front end gives them


FAMILIES = {
    "ast": Family("ast:Ast", VIT, native=False),
    "ast-interp": Family("ast:Ast", f'{VIT}\npositions = "interpolated"'),
    "ast-sin": Family("ast:Ast", f'{VIT}\npositions = "sinusoidal"'),
    "ast-sin2d": Family("ast:Ast", f'{VIT}\npositions = "sinusoidal-2d"'),
    "audio-mamba": Family(
        "audio_mamba:AudioMamba",
        "side = 32\nleast_chunks = 2\ndims = [16, 32]\ndepths = [1, 2]\ninitial_std = 0",
        mels=64, own=1001, least=1, decibels=True,
    ),
    "audiomae": Family("audiomae:AudioMae", VIT, least=1),
    "aum-bibi": Family("aum:Aum", 'width = 32\ndepth = 2\ndesign = "bi-bi"'),
    "aum-fobi": Family("aum:Aum", 'width = 32\ndepth = 2\ndesign = "fo-bi"'),
    "aum-fofo": Family("aum:Aum", 'width = 32\ndepth = 2\ndesign = "fo-fo"'),
    "beats": Family(
        "beats:Beats",
        "width = 24\ndepth = 2\nheads = 3\nhidden = 40\npatch_width = 16\nconv_kernel = 8\nconv_groups = 4\n"
        "buckets = 32\nmax_distance = 40",
        own=998,
    ),
    "ced": Family("ced:Ced", VIT, mels=64, own=1001, decibels=True),
    "cnn14": Family(
        "panns:Cnn14", "channels = [8, 8, 8, 8, 8, 16]\nhidden = 16",
        mels=64, own=1001, longer=4500, least=32, decibels=True,
    ),
    "dass": Family(
        "dass:Dass",
        "depths = [1, 2]\ndims = [16, 32]\nstem = [8, 16]\ninitial_std = 0",
        least=1,
    ),
    "dasheng": Family("dasheng:Dasheng", VIT, mels=64, own=1001, least=4, decibels=True),
    "dymn": Family(
        "efficientat:DynamicMobileNet", "width = 0.1\nkernels = 2", own=1000
    ),
    "eat": Family("eat:Eat", VIT, least=1),
    "elastic-ast": Family("elastic_ast:ElasticAst", VIT, native=False),
    "htsat": Family(
        "htsat:HtsAt",
        "side = 128\npatch = 8\nwidth = 8\ndepths = [2, 1]\nheads = [2, 4]",
        mels=64, own=250, longer=700, least=1, native=False, decibels=True,
    ),
    "mn": Family("efficientat:MobileNet", "width = 0.1", own=1000),
    "passt": Family("passt:Passt", VIT, own=1000),
    "sat": Family("sat:Sat", VIT, mels=64, own=1001, decibels=True),
    "sat-token": Family(
        "sat:Sat", f"{VIT}\nclass_token = true\nchunk_frames = 96", mels=64, own=1001, decibels=True
    ),
    "ssamba": Family("ssamba:Ssamba", "width = 32\ndepth = 4"),
    "ssast": Family("ssast:Ssast", VIT),
    "yamnet": Family("yamnet:Yamnet", "width = 0.07", mels=64, own=1000, least=1),
}  # fmt: skip
CLASSES = 10  # of ESC-10
DTYPES = {"float32": 1e-6, "bfloat16": 0.2, "float16": 0.05}  # error / largest logit


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> Family:
    return FAMILIES[request.param]


@pytest.fixture
def card(family: Family, tmp_path: Path) -> Path:
    return small_card(tmp_path, f"niah.adapters.{family.adapter}", family.config)


@pytest.fixture
def adapter(card: Path) -> NetworkAdapter:
    return made(card)


def made(card: Path, checkpoint: str | Path = "random", **options: str | int) -> NetworkAdapter:
    adapter = niah.load_model(card, checkpoint, **options)  # type: ignore[arg-type]
    assert isinstance(adapter, NetworkAdapter)
    return adapter


def features_of(family: Family, frames: int, batch: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(frames)
    noise = torch.randn(batch, frames, family.mels, generator=generator)
    return 10 * noise - 30 if family.decibels else noise


def test_it_has_the_parts_and_says_what_it_is(adapter: NetworkAdapter, family: Family) -> None:
    assert isinstance(adapter, Adapter)
    assert len(adapter.labels) == CLASSES
    assert adapter.frontend.mels == family.mels
    assert adapter.frontend.needle_frames == (family.own if family.own > 900 else 1001)
    info = adapter_info(adapter)
    assert (info.random, info.weights_source, len(info.weights_sha256)) == (True, "random", 64)
    assert info.kernel == adapter.kernel
    assert info.parameters == sum(p.numel() for p in adapter.network.parameters()) > 0


def test_a_random_start_depends_on_the_seed_alone(card: Path, adapter: NetworkAdapter) -> None:
    before = torch.get_rng_state()
    again, other = made(card), made(card, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert again.weights_sha256 == adapter.weights_sha256 != other.weights_sha256


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_length_has_logits_or_one_line(card: Path, family: Family, dtype: str) -> None:
    """Shorter than a patch, shorter than trained, the trained length, longer; in each dtype, as in float32."""
    exact, adapter = made(card), made(card, dtype=dtype)
    for frames in (family.least - 1, family.least, family.own // 3, family.own, family.longer):
        features = features_of(family, frames)
        must = frames == family.own or (frames >= family.least and family.native)
        refused = ""
        try:
            logits = adapter.logits(features)
        except NiahError as error:
            refused = str(error)
        if refused:
            assert not must, f"{frames} frames: {refused}"
            assert "\n" not in refused
            continue
        assert logits.shape == (2, CLASSES)
        assert logits.dtype == torch.float32
        assert bool(logits.isfinite().all())
        expected = exact.logits(features)
        assert float((logits - expected).abs().max()) <= DTYPES[dtype] * float(expected.abs().max())


def test_clips_do_not_see_each_other(adapter: NetworkAdapter, family: Family) -> None:
    features = features_of(family, family.own, batch=3)
    kept, sha256 = features.clone(), adapter.weights_sha256
    together = adapter.logits(features)
    count_changes(adapter)
    assert adapter.weights_sha256 == sha256  # a forward pass leaves the network as it was loaded
    single = torch.cat([adapter.logits(clip[None]) for clip in features])
    torch.testing.assert_close(together, single, atol=2e-5, rtol=1e-5)
    assert not torch.equal(together[0], together[1])
    assert torch.equal(features, kept)


def test_a_batch_past_the_largest_tensor_is_taken_in_parts(
    adapter: NetworkAdapter, family: Family
) -> None:
    features = features_of(family, family.own, batch=3)
    whole = adapter.logits(features)
    adapter.safe_elements = adapter.largest_tensor(2, family.own)
    assert adapter.safe_batch(family.own) == 2
    torch.testing.assert_close(adapter.logits(features), whole, atol=2e-5, rtol=1e-5)


def test_no_tensor_is_larger_than_it_says(adapter: NetworkAdapter, family: Family) -> None:
    for batch, frames in ((1, family.own // 2), (2, family.own), (3, family.longer)):
        said = adapter.largest_tensor(batch, frames)
        with LargestTensor() as seen:
            try:
                adapter.logits(features_of(family, frames, batch))
            except NiahError:
                assert not family.native
                assert frames != family.own
                continue
        assert said / 8 <= seen.elements <= said


def test_weights_survive_a_file(card: Path, adapter: NetworkAdapter, family: Family) -> None:
    file = card.parent / "own.pth"
    torch.save({f"module.{k}": v for k, v in adapter.network.state_dict().items()}, file)
    loaded, features = made(card, file), features_of(family, family.own)
    info = adapter_info(loaded)
    assert (info.random, info.weights_source) == (False, str(file))
    assert info.weights_sha256 != adapter.weights_sha256
    assert torch.equal(loaded.logits(features), adapter.logits(features))


def test_a_checkpoint_that_does_not_fit_is_refused_with_its_key(
    card: Path, adapter: NetworkAdapter
) -> None:
    state = adapter.network.state_dict()
    key = [name for name, value in state.items() if value.is_floating_point()][-1]
    value, file = state[key], card.parent / "wrong.pth"
    holed = value.clone()
    holed.view(-1)[0] = float("nan")
    others = {name: tensor for name, tensor in state.items() if name != key}
    wrong = {
        f"1 missing ({key})": others,
        "1 not known (stray.weight)": {**state, "stray.weight": torch.zeros(1)},
        f"{key} is (3,), not {tuple(value.shape)}": {**state, key: torch.zeros(3)},
        f"{key} holds NaN": {**state, key: holed},
        f"{key} is int8": {**state, key: value.to(torch.int8)},
        f"{key} is complex64": {**state, key: value.to(torch.complex64)},
    }
    for reason, content in wrong.items():
        torch.save(content, file)
        with pytest.raises(NiahError) as refused:
            made(card, file)
        assert reason in str(refused.value)
        assert "\n" not in str(refused.value)


def test_other_mels_are_refused(adapter: NetworkAdapter, family: Family) -> None:
    with pytest.raises(NiahError, match=r"features must be \(batch, frames, "):
        adapter.logits(torch.zeros(1, family.own, family.mels + 1))


def test_gradients_reach_every_weight(adapter: NetworkAdapter, family: Family) -> None:
    network = adapter.network.train().requires_grad_(True)
    network(features_of(family, family.own)).square().sum().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []
