"""Folders of `save_pretrained` as checkpoints, and the order of outputs that their config.json names."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import niah
from niah.adapters.hub_folder import label_order
from niah.adapters.loading import adapter_info
from niah.adapters.network_adapter import NetworkAdapter
from niah.errors import NiahError
from niah.vocabularies import vocabulary
from tests.adapters.test_contract import FAMILIES, features_of
from tests.helpers.small_card import small_card

LABELS = vocabulary("esc-10")
ORDER = [3, 1, 4, 0, 5, 9, 2, 6, 8, 7]  # row i of the stored head is class ORDER[i]


def named(order: list[int], names: tuple[str, ...] = LABELS.names) -> dict[str, Any]:
    return {"model_type": "x", "id2label": {str(row): names[i] for row, i in enumerate(order)}}


def loaded(card: Path, checkpoint: Path | str) -> NetworkAdapter:
    adapter = niah.load_model(card, checkpoint)
    assert isinstance(adapter, NetworkAdapter)
    return adapter


def small(folder: Path, name: str) -> tuple[Path, NetworkAdapter]:
    card = small_card(folder, f"niah.adapters.{FAMILIES[name].adapter}", FAMILIES[name].config)
    return card, loaded(card, "random")


def state_of(adapter: NetworkAdapter) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in adapter.network.state_dict().items()}


@pytest.mark.parametrize("name", FAMILIES)
def test_rows_in_another_order_are_put_in_order(tmp_path: Path, name: str) -> None:
    card, adapter = small(tmp_path, name)
    folder = tmp_path / "saved"
    folder.mkdir()
    state = state_of(adapter)
    for key in (f"{adapter.head}.weight", f"{adapter.head}.bias"):
        state[key] = state[key][ORDER]
    save_file(state, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(named(ORDER)))
    features = features_of(FAMILIES[name], FAMILIES[name].own)
    expected = adapter.logits(features)
    for checkpoint in (folder, folder / "model.safetensors"):
        found = loaded(card, checkpoint)
        assert torch.equal(found.logits(features), expected)
    reordered = adapter_info(found).weights_sha256
    (folder / "config.json").unlink()  # the same file, its rows meaning other classes
    bare = loaded(card, folder)
    assert not torch.equal(bare.logits(features), expected)
    assert adapter_info(bare).weights_sha256 != reordered


@pytest.mark.parametrize("name", FAMILIES)
def test_logits_of_16_bits_are_not_rounded_to_16_bits(tmp_path: Path, name: str) -> None:
    """A hundred of 527 rounded scores are ties."""
    card, _ = small(tmp_path, name)
    logits = niah.load_model(card, "random", dtype="bfloat16").logits(
        features_of(FAMILIES[name], FAMILIES[name].own)
    )
    assert not torch.equal(logits, logits.bfloat16().float())


def test_rows_that_cannot_be_moved_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An adapter of one's own need not say where they are."""
    card, adapter = small(tmp_path, "htsat")
    monkeypatch.setattr(type(adapter), "head", "")
    save_file(state_of(adapter), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(named(ORDER)))
    with pytest.raises(NiahError, match=r"labels in another order than 'esc-10'.* cannot be moved"):
        loaded(card, tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(named(list(range(10)))))
    loaded(card, tmp_path)


@pytest.mark.parametrize(
    "config",
    [
        None,
        "{",
        "[]",
        '{"id2label": {}}',
        '{"id2label": 3}',
        json.dumps({"id2label": {str(row): f"LABEL_{row}" for row in range(10)}}),
        json.dumps(named(list(range(10)))),
        json.dumps(named(list(range(10)), LABELS.ids)),
        json.dumps(named(list(range(10)), tuple(name.upper() for name in LABELS.names))),
    ],
)
def test_no_order_is_the_vocabularys(tmp_path: Path, config: str | None) -> None:
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    assert label_order(tmp_path / "model.safetensors", LABELS) is None


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (named(ORDER[:9]), "names 9 labels, not the 10 of 'esc-10'"),
        ({"id2label": {"one": "dog"}}, "id2label must map 0, 1, 2"),
        ({"id2label": {str(row): "dog" for row in range(10)}}, "output 1 is 'dog', repeated in"),
        (
            named(ORDER, (*LABELS.names[:9], "a whale")),
            "output 5 is 'a whale', unknown in 'esc-10': give a card with these labels",
        ),
    ],
)
def test_other_labels_are_refused(tmp_path: Path, config: dict[str, Any], reason: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(NiahError, match=reason):
        label_order(tmp_path / "model.safetensors", LABELS)


def test_audiosets_display_names_are_known(tmp_path: Path) -> None:
    labels = vocabulary("audioset-527")
    order = [*range(1, 527), 0]
    (tmp_path / "config.json").write_text(json.dumps(named(order, labels.names)))
    assert label_order(tmp_path / "x.bin", labels) == [526, *range(526)]


def test_names_cut_at_the_comma_are_known_in_their_order_alone(tmp_path: Path) -> None:
    """As in the folders that CED's authors convert: 524 names for 527 classes."""
    labels = vocabulary("audioset-527")
    cut = tuple(name.partition(",")[0] for name in labels.names)
    assert len(set(cut)) == 524
    config = tmp_path / "config.json"
    config.write_text(json.dumps(named(list(range(527)), cut)))
    assert label_order(tmp_path / "model.safetensors", labels) is None
    for order in ([1, 0, *range(2, 527)], [*range(1, 527), 0]):
        config.write_text(json.dumps(named(order, cut)))
        with pytest.raises(NiahError, match=r"unknown in 'audioset-527'|repeated in"):
            label_order(tmp_path / "model.safetensors", labels)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("model.safetensors", save_file),
        ("pytorch_model.bin", torch.save),
        ("weights.safetensors", save_file),
    ],
)
def test_a_folder_is_its_file_of_weights(
    tmp_path: Path, name: str, write: Callable[[dict[str, Tensor], Path], None]
) -> None:
    card, adapter = small(tmp_path, "eat")
    folder = tmp_path / "saved: here"
    folder.mkdir()
    write(state_of(adapter), folder / name)
    assert loaded(card, folder).weights_sha256 == loaded(card, folder / name).weights_sha256


def test_a_set_of_weights_in_a_folder_is_named(tmp_path: Path) -> None:
    card, adapter = small(tmp_path, "eat")
    state = state_of(adapter)
    other = {key: 2 * value for key, value in state.items()}
    (tmp_path / "saved").mkdir()
    torch.save({"model": state, "model_ema": other}, tmp_path / "saved" / "pytorch_model.bin")
    found = loaded(card, f"{tmp_path / 'saved'}:model_ema")
    assert torch.equal(found.network.state_dict()["head.weight"], other["head.weight"])


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (None, "is a folder without model.safetensors, pytorch_model.bin"),
        ("model.safetensors.index.json", "in several shards"),
        ("pytorch_model.bin.index.json", "in several shards"),
    ],
)
def test_a_folder_without_one_file_of_weights_is_told(
    tmp_path: Path, file: str | None, reason: str
) -> None:
    (tmp_path / "saved").mkdir()
    if file:
        (tmp_path / "saved" / file).write_text("{}")
    with pytest.raises(NiahError, match=reason):
        loaded(small(tmp_path, "eat")[0], tmp_path / "saved")
