"""ElasticAST checkpoints: the authors' files, whose queries lie apart from keys and values."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from niah.adapters.checkpoints import State
from niah.adapters.network_adapter import NetworkAdapter
from niah.frontends.kaldi import AST
from niah.networks.config import network_config
from niah.networks.elastic_ast import ElasticAst as ElasticAstNetwork
from niah.networks.elastic_ast import ElasticAstConfig
from niah.networks.layers.vit import largest_tensor

ELASTIC_AST = replace(AST, mean=-4.414, std=4.905)
"""AST's front end with the statistics of the authors' AudioSet recipe."""

_QUERIES = ".to_q."


class ElasticAst(NetworkAdapter):
    """ElasticAST (`niah.networks.elastic_ast`), of inputs up to its table of positions."""

    network: ElasticAstNetwork
    head = "head"
    kernel = "sdpa"
    default_frontend = ELASTIC_AST

    @staticmethod
    def build(config: Mapping[str, Any], classes: int) -> nn.Module:
        return ElasticAstNetwork(network_config(ElasticAstConfig, config, classes))

    @staticmethod
    def official_state(state: State, network: nn.Module) -> State:
        """Join queries, keys and values of each layer, and give the patches' matrix the shape of a convolution."""
        return official_names(state, network)

    def tokens(self, frames: int) -> int:
        return self.network.config.tokens(frames)

    def largest_tensor(self, batch: int, frames: int) -> int:
        """Count the input, or the largest tensor of a forward; what has no native mode fails in the network."""
        config = self.network.config
        within = min(max(frames, config.patch), config.trained_frames)
        inside = largest_tensor(batch, config.tokens(within), config.width, config.patch)
        return max(batch * frames * config.mels, inside)


def official_names(state: State, network: nn.Module) -> State:
    """Rename the keys of a state dict in the authors' layout to the network's.

    Args:
        state: `blocks.modules_list.0.attn.to_q.weight` (D, D) with `..to_kv.weight` (2 D, D), and so on.
        network: the network that they are for.

    Returns:
        The state dict to load; unknown keys stay.
    """
    weights: State = {}
    patches = network.get_submodule("patch_embed").get_parameter("weight").shape
    for key, value in state.items():
        name = key.replace("blocks.modules_list.", "blocks.").replace(
            "patch_embed.0.", "patch_embed."
        )
        pair = key.replace(_QUERIES, ".to_kv.")
        if _QUERIES in key and pair in state:
            weights[name.replace(_QUERIES, ".qkv.")] = torch.cat([value, state[pair]])
        elif ".to_kv." not in key or key.replace(".to_kv.", _QUERIES) not in state:
            weights[name] = value
    matrix = weights.get("patch_embed.weight")
    if matrix is not None and matrix.shape == (patches[0], patches[1:].numel()):
        weights["patch_embed.weight"] = matrix.reshape(patches)
    return weights
