"""AST checkpoints: the official files (`ast_models.py`) and `MIT/ast-finetuned-*` on the Hugging Face hub."""

import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from niah.adapters.checkpoints import State
from niah.adapters.network_adapter import NetworkAdapter
from niah.errors import NiahError
from niah.networks.ast import Ast as AstNetwork
from niah.networks.ast import AstConfig, sinusoid
from niah.networks.config import network_config
from niah.networks.layers.vit import TOKENS_AT_ONCE

_HUB_PREFIX = "audio_spectrogram_transformer."
_UNUSED = (
    "v.head.",
    "v.head_dist.",
)  # ImageNet heads that official files carry because they load strictly
_HUB_NAMES = (
    (r"^embeddings\.cls_token$", "v.cls_token"),
    (r"^embeddings\.distillation_token$", "v.dist_token"),
    (r"^embeddings\.position_embeddings$", "v.pos_embed"),
    (r"^embeddings\.patch_embeddings\.projection\.", "v.patch_embed.proj."),
    (r"^(?:encoder\.layer|layers)\.(\d+)\.", r"v.blocks.\1."),
    (r"\.attention\.attention\.(query|key|value)\.", r".attn.\1."),
    (r"\.attention\.(q|k|v)_proj\.", r".attn.\1."),
    (r"\.attention\.(?:output\.dense|o_proj)\.", ".attn.proj."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"(blocks\.\d+)\.output\.dense\.", r"\1.mlp.fc2."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"^layernorm\.", "v.norm."),
    (r"^classifier\.layernorm\.", "mlp_head.0."),
    (r"^classifier\.dense\.", "mlp_head.1."),
)
_SINUSOID_TOLERANCE = 1e-2  # files may store it in half precision


class Ast(NetworkAdapter):
    """AST with learned, interpolated or one- and two-dimensional sinusoidal positions (`niah.networks.ast`)."""

    network: AstNetwork
    kernel = "sdpa"
    head = "mlp_head.1"
    runs_in_threads = True

    @staticmethod
    def build(config: Mapping[str, Any], classes: int) -> nn.Module:
        return AstNetwork(network_config(AstConfig, config, classes))

    @staticmethod
    def official_state(state: State, network: nn.Module) -> State:
        """Rename official or hub keys to ours; drop the unused ImageNet heads and a stored sinusoid."""
        if any(key.startswith(_HUB_PREFIX) for key in state):
            state = _from_hub(state)
        state = {key: value for key, value in state.items() if not key.startswith(_UNUSED)}
        assert isinstance(network, AstNetwork)
        positions = state.get("v.pos_embed")
        if network.config.positions.startswith("sinusoidal"):
            if positions is not None:
                _check_sinusoid(positions, network)
                del state["v.pos_embed"]
        elif positions is not None and positions.ndim == 2:
            state["v.pos_embed"] = positions[None]
        return state

    def tokens(self, frames: int) -> int:
        return self.network.config.tokens(frames)

    def largest_tensor(self, batch: int, frames: int) -> int:
        config = self.network.config
        tokens = config.tokens(max(frames, config.patch[1]))
        largest = largest_of_blocks(batch, tokens, config.width, config.patch)
        return max(batch * frames * config.mels, largest)


def _from_hub(state: State) -> State:
    renamed = {}
    for key, value in state.items():
        name = key.removeprefix(_HUB_PREFIX)
        for pattern, official in _HUB_NAMES:
            name = re.sub(pattern, official, name)
        renamed[name] = value
    thirds: dict[str, dict[str, Tensor]] = {}
    merged: State = {}
    for key, value in renamed.items():
        match = re.match(r"^(.*\.attn)\.(query|key|value|q|k|v)\.(weight|bias)$", key)
        if match is None:
            merged[key] = value
        else:
            thirds.setdefault(f"{match[1]}.qkv.{match[3]}", {})[match[2][0]] = value
    for key, parts in thirds.items():
        if set(parts) == {"q", "k", "v"}:
            merged[key] = torch.cat([parts["q"], parts["k"], parts["v"]])
    return merged


def _check_sinusoid(positions: Tensor, network: AstNetwork) -> None:
    """Refuse learned positions, which a sinusoidal model would silently drop."""
    stored = positions.reshape(-1, positions.shape[-1]).float()
    if network.config.positions == "sinusoidal":
        expected = sinusoid(len(stored), network.config.width)
    else:
        columns = network.config.grid(network.config.trained_frames)[1]
        expected = network.v.sinusoid(columns)[0]
    if (
        stored.shape != expected.shape
        or float((stored - expected).abs().max()) > _SINUSOID_TOLERANCE
    ):
        raise NiahError(
            "this checkpoint's v.pos_embed is not the sinusoid: it has learned positions; "
            "use model 'ast' or 'ast-interp'"
        )


def largest_of_blocks(batch: int, tokens: int, width: int, patch: tuple[int, int]) -> int:
    """Count the elements of the largest tensor of patches and timm's blocks without gradients.

    It is queries, keys and values side by side, the hidden layer of an MLP, or patches that overlap.

    Args:
        batch: number of clips.
        tokens: of each clip.
        width: of a token.
        patch: its mels and frames, p x q.

    Returns:
        max(3 B T D, 4 t D, B T p q), t <= B T the tokens that go through an MLP together.
    """
    at_once = min(batch * tokens, max(batch, TOKENS_AT_ONCE))
    widest = max(3 * width, math.prod(patch))
    return max(batch * tokens * widest, 4 * at_once * width)
