"""YAMNet in full precision: the official scores, the variables of a saved model, and files that are none."""

import contextlib
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import niah
from niah.adapters.loading import make_adapter
from niah.adapters.patches import PatchScorer
from niah.adapters.tensor_bundle import DATA, read_bundle
from niah.adapters.yamnet import YAMNET, Yamnet
from niah.cards import find_model
from niah.errors import NiahError
from niah.frontends.log_mel import from_card
from niah.networks.yamnet import Yamnet as YamnetNetwork
from niah.networks.yamnet import YamnetConfig
from tests.adapters.test_contract import FAMILIES, features_of
from tests.helpers import tensor_bundle
from tests.helpers.goldens import load_golden
from tests.helpers.small_card import small_card

SMALL = FAMILIES["yamnet"]
PREFIX = "layer-1/layer/_func/_yamnet/layer_with_weights-{}/{}/.ATTRIBUTES/VARIABLE_VALUE"


def small(folder: Path, checkpoint: str | Path = "random") -> Yamnet:
    adapter = niah.load_model(
        small_card(folder, "niah.adapters.yamnet:Yamnet", SMALL.config), checkpoint
    )
    assert isinstance(adapter, Yamnet)
    return adapter


def variables(network: YamnetNetwork) -> dict[str, NDArray[np.generic]]:
    """Name and turn a network's tensors as Keras saves them, beside a metric and a counter of the training."""
    saved: dict[str, NDArray[np.generic]] = {
        "keras_api/metrics/0/total/.ATTRIBUTES/VARIABLE_VALUE": np.zeros((), np.float32),
        "save_counter/.ATTRIBUTES/VARIABLE_VALUE": np.zeros((), np.int64),
    }
    norm = {"bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
    for key, tensor in network.state_dict().items():
        value, last = tensor.numpy(), key.rpartition(".")[2]
        if key.startswith("classifier"):
            number, name = 54, "kernel" if last == "weight" else "bias"
            value = value.T
        elif ".conv." in key:
            number = 2 * int(key.split(".")[1])
            depthwise = value.shape[1] == 1 and number > 0
            name = "depthwise_kernel" if depthwise else "kernel"
            value = value.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))
        else:
            number, name = 2 * int(key.split(".")[1]) + 1, norm[last]
        saved[PREFIX.format(number, name)] = value
    return saved


def test_patches_have_the_official_scores() -> None:
    """From waveforms, through the front end, at full size."""
    golden = load_golden("yamnet")
    network = YamnetNetwork(YamnetConfig()).eval()
    network.load_state_dict(golden.state)
    for case in golden.document["cases"]:
        samples = case["samples"]
        wave = 0.1 * np.random.default_rng(samples).standard_normal(samples)
        features = YAMNET(torch.from_numpy(wave.astype(np.float32))[None])[0]
        scorer = PatchScorer(
            lambda patches: network.patch_logits(torch.from_numpy(patches)).numpy(), 96, 48
        )
        with torch.inference_mode():
            logits = scorer(features.numpy(), network.config.silence).astype(np.float32)
        expected = golden.arrays[case["key"]]
        assert logits.shape == expected.shape
        assert np.abs(logits - expected).max() <= 2e-5
        assert expected.std() > 0.1


def test_variables_of_a_saved_model_are_loaded_strictly(tmp_path: Path) -> None:
    adapter = small(tmp_path)
    features = features_of(SMALL, 300)
    path = tensor_bundle.write(tmp_path, variables(adapter.network))
    torch.testing.assert_close(small(tmp_path, path).logits(features), adapter.logits(features))
    cut = {key: value for key, value in variables(adapter.network).items() if "-54/bias" not in key}
    with pytest.raises(NiahError, match=r"1 missing \(classifier.bias\)"):
        small(tmp_path, tensor_bundle.write(tmp_path, cut))
    with pytest.raises(NiahError, match="its blocks are compressed"):
        read_bundle(tensor_bundle.write(tmp_path, cut, compressed=True))


def test_a_small_index_stays_small_in_memory(tmp_path: Path) -> None:
    values = np.ones(1000, np.float32).tobytes()
    entries = {
        b"": b"",
        **{b"%04d" % k: tensor_bundle.entry(1, [1000], (0, 4000), values) for k in (1, 2)},
    }
    block = tensor_bundle.block(entries)
    long_name = tensor_bundle.block({b"n" * 2000: entries[b"0001"]})
    for index, reason in (
        (tensor_bundle.index_of([block]), "0002 does not fit its data"),
        (tensor_bundle.index_of([block], repeated=300), "0001 occurs twice|0002 does not fit"),
        (tensor_bundle.index_of([tensor_bundle.block({})], repeated=300), "blocks overlap"),
        (tensor_bundle.index_of([long_name]), "an entry reaches past its block"),
    ):
        with pytest.raises(NiahError, match=reason):
            read_bundle(tensor_bundle.write_files(tmp_path, index, values))


def test_the_network_pools_as_the_adapter_does(tmp_path: Path) -> None:
    adapter = small(tmp_path)
    for frames in (1, 96, 97, 250):
        features = features_of(SMALL, frames)
        with torch.inference_mode():
            torch.testing.assert_close(adapter.network(features), adapter.logits(features))
        assert adapter.position_logits(features).shape[1] == 1 + max(0, -(-(frames - 96) // 48))
        turned = features.mT.contiguous().mT.requires_grad_()  # as the features of one's own code
        assert torch.equal(adapter.logits(turned), adapter.logits(features))


def test_no_clips_have_no_logits_and_what_is_no_batch_is_refused_in_words(tmp_path: Path) -> None:
    adapter, features = small(tmp_path), features_of(SMALL, 96)
    assert adapter.logits(features[:0]).shape == (0, len(adapter.labels))
    given: Any = features.numpy()
    for other, kind in ((given, "no tensor, but ndarray"), (features[0], r"\(96, 64\)")):
        with pytest.raises(NiahError, match=rf"must be \(batch, frames, 64\), got {kind}"):
            adapter.logits(other)


def test_the_card_is_of_the_front_end_and_the_size_of_yamnet() -> None:
    card = find_model("yamnet-float")[0]
    adapter = make_adapter(card)
    assert adapter.parameters == card.parameters == find_model("yamnet")[0].parameters
    assert adapter.frontend.fingerprint == from_card(find_model("yamnet")[0]).fingerprint


def test_a_damaged_bundle_is_one_line(tmp_path: Path) -> None:
    path = tensor_bundle.write(
        tmp_path, {"a": np.ones((2, 3), np.float32), "ab": np.ones(4, np.float32)}
    )
    index = tmp_path / "variables.index"
    sound = index.read_bytes()
    assert {name: tuple(value.shape) for name, value in read_bundle(path).items()} == {
        "a": (2, 3),
        "ab": (4,),
    }
    draw = random.Random(0)
    for number in range(200):
        damaged = bytearray(sound)
        if number % 4 == 0:
            damaged = damaged[: draw.randrange(len(sound))]
        else:
            damaged[draw.randrange(len(sound))] = draw.randrange(256)
        index.write_bytes(damaged)
        with contextlib.suppress(NiahError):
            read_bundle(path)
    index.write_bytes(sound)
    values = path.read_bytes()
    for bit in range(0, 8 * len(values), 7):
        damaged = bytearray(values)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(NiahError, match="are damaged: their checksum is another"):
            read_bundle(path)
    index.unlink()
    with pytest.raises(NiahError, match="not a readable torch file"):
        small(tmp_path, tmp_path / f"variables{DATA}")
