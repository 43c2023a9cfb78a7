"""BEATs checkpoints: the official files {cfg, model, label_dict}, whose classes are not in AudioSet's order.

`label_dict` maps an output to its AudioSet id (MID) in an order that is not AudioSet's list (microsoft/unilm, issue
1012): the rows of the predictor are put into the order of the card's vocabulary. A bare state dict or a `.safetensors`
has no such entry. Its rows may be in the released order, so a card of `audioset-527` refuses it unless a config.json
beside it names the outputs, or `niah train` wrote it. With other labels, also a CSV of AudioSet's, the rows are in the
card's order.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from niah.adapters.checkpoints import State, file_and_set, is_safetensors, is_trained_here
from niah.adapters.hub_folder import names_outputs
from niah.adapters.network_adapter import NetworkAdapter
from niah.cards import ModelCard
from niah.errors import NiahError
from niah.frontends.kaldi import BEATS
from niah.networks.beats import MLP_TOKENS, BeatsConfig
from niah.networks.beats import Beats as BeatsNetwork
from niah.networks.config import network_config
from niah.vocabularies import Vocabulary, vocabulary

_RELEASED_LABELS = "audioset-527"
_POSITIONS = "relative_attention_bias.weight"  # one table, listed under every layer
_OWN_POSITIONS = f"encoder.{_POSITIONS}"
_DESIGN = {  # cfg entries that no tensor's shape shows, equal in every released model
    "layer_norm_first": False,
    "deep_norm": True,
    "relative_position_embedding": True,
    "gru_rel_pos": True,
    "activation_fn": "gelu",
}


class Beats(NetworkAdapter):
    """BEATs base, fine-tuned on AudioSet (`niah.networks.beats`); native at any length."""

    network: BeatsNetwork
    kernel = "sdpa-blocks"
    head = "predictor"
    default_frontend = BEATS

    @staticmethod
    def build(config: Mapping[str, Any], classes: int) -> nn.Module:
        return BeatsNetwork(network_config(BeatsConfig, config, classes))

    @staticmethod
    def official_state(state: State, network: nn.Module) -> State:  # noqa: ARG004
        """Rename official keys to ours; the position table that all layers share is stored once.

        Raises:
            NiahError: layers with different tables, or a checkpoint that is only pre-trained.
        """
        renamed: State = {}
        for key, value in state.items():
            name = key.replace("encoder.pos_conv.0.", "encoder.pos_conv.")
            if name.endswith(f".self_attn.{_POSITIONS}"):
                name = _OWN_POSITIONS
            if name in renamed and not torch.equal(renamed[name], value):
                raise NiahError(
                    f"this checkpoint's {key} differs from the first layer's: BEATs shares one table"
                )
            renamed[name] = value
        if not any(key.startswith("predictor.") for key in renamed):
            raise NiahError(
                "this checkpoint has no predictor: it is pre-trained only; "
                "take one that is fine-tuned on AudioSet (.._finetuned_on_AS2M_cpt1.pt)"
            )
        return renamed

    def load(self, path: Path) -> None:
        """Load a checkpoint strictly, and put its outputs into the order of the card's labels.

        Raises:
            NiahError: no checkpoint, or one of another design, with other labels, with AudioSet's in an order that
                nothing says, or only pre-trained.
        """
        super().load(path)
        _check_design(_other_entries(path).get("cfg"), self.network.config, path)

    @classmethod
    def row_order(cls, file: Path, card: ModelCard) -> list[int] | None:
        """Find the predictor's row of each label, by the file's own word before that of a config.json beside it.

        Raises:
            NiahError: other labels than the card's, or AudioSet's in an order that nothing says.
        """
        if (labels := _other_entries(file).get("label_dict")) is not None:
            return _rows(labels, vocabulary(card.labels_source), file)
        is_known = names_outputs(file) or is_trained_here(file)
        if card.labels == _RELEASED_LABELS and not is_known:
            raise NiahError(
                f"checkpoint {file} has no label_dict, and BEATs' released outputs are in an order of their own: give "
                "the whole official file {cfg, model, label_dict}, or a card whose labels are a CSV of the outputs"
            )
        return super().row_order(file, card)

    def _reorder_head(self, order: list[int], file: Path) -> None:
        if _other_entries(file).get("label_dict") is None:
            super()._reorder_head(order, file)
        else:  # what the file says itself makes no other weights of it
            self._move_rows(order)

    def tokens(self, frames: int) -> int:
        return self.network.config.tokens(frames)

    def largest_tensor(self, batch: int, frames: int) -> int:
        """Count the input, the tokens, an MLP's hidden layer or a block of bias, whichever is largest."""
        config = self.network.config
        tokens = max(1, config.tokens(frames))
        return max(
            batch * frames * config.mels,
            batch * tokens * config.width,
            min(batch * tokens, max(batch, MLP_TOKENS)) * config.hidden,
            batch * config.heads * config.block_rows(batch, tokens) * tokens,
        )


def _other_entries(path: Path) -> Mapping[str, Any]:
    """Return the entries of an official file beside its tensors; none in other formats."""
    path, _ = file_and_set(path)
    if is_safetensors(path):
        return {}
    # `read_state` has already loaded the file safely; this maps it without reading the tensors
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except RuntimeError:  # a file of torch before 1.6 cannot be mapped
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    return loaded if "model" in loaded else {}


def _check_design(cfg: object, config: BeatsConfig, path: Path) -> None:
    if not isinstance(cfg, Mapping):
        return
    wanted = {
        **_DESIGN,
        "encoder_layers": config.depth,
        "encoder_attention_heads": config.heads,
        "num_buckets": config.buckets,
        "max_distance": config.max_distance,
    }
    others = [f"{k} = {cfg[k]}, not {v}" for k, v in wanted.items() if k in cfg and cfg[k] != v]
    if others:
        raise NiahError(
            f"checkpoint {path} is of another design than this model: {'; '.join(others)}"
        )


def _rows(label_dict: object, labels: Vocabulary, path: Path) -> list[int]:
    """Return the predictor's row of each label of the vocabulary."""
    if not isinstance(label_dict, Mapping):
        raise NiahError(f"checkpoint {path}: label_dict must map outputs to AudioSet ids")
    row_of = {str(mid): int(row) for row, mid in label_dict.items()}
    if sorted(row_of.values()) != list(range(len(labels))) or set(row_of) != set(labels.ids):
        odd = sorted(set(row_of) ^ set(labels.ids))[:3]
        raise NiahError(
            f"checkpoint {path}: its {len(label_dict)} labels are not those of '{labels.name}'"
            + (f" ({', '.join(odd)})" if odd else "")
        )
    return [row_of[mid] for mid in labels.ids]
