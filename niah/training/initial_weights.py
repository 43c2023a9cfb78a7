"""A network's weights before training: another model's, or ImageNet's (VMamba's for DASS, DeiT's for AST).

ImageNet weights are fitted as in DASS's `vmamba.py` and AST's `ast_models.py`:

patch embedding   summed over the three colours
head              keeps its random weights
AST's positions   the 24 x 24 grid's middle rows, its columns resized bilinearly; sinusoids need none

A causal AuM starts from an AuM of the same size: `forward_scan`.
"""

import re
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from niah.adapters.checkpoints import State, file_and_set, load_strictly, read_state
from niah.adapters.importing import import_adapter
from niah.adapters.network_adapter import NetworkAdapter
from niah.adapters.self_supervised import SelfSupervised
from niah.adapters.weights import resolve
from niah.cards import ModelCard, find_model
from niah.errors import NiahError
from niah.networks.ast import CLASS_TOKENS, Ast
from niah.networks.aum import Aum
from niah.networks.dass.network import Dass
from niah.system.download import cache_folder, fetch
from niah.system.hub import fetch_from_hub
from niah.training.recipes import for_training
from niah.vocabularies import Vocabulary, vocabulary

_RELEASES = "https://github.com/MzeroMiko/VMamba/releases/download/%23v2cls/"
VMAMBA_FILES: dict[tuple[int, ...], str] = {  # by DASS's depths
    (2, 2, 8, 2): "vssm1_tiny_0230s_ckpt_epoch_264.pth",
    (2, 2, 20, 2): "vssm1_small_0229s_ckpt_epoch_240.pth",
}
DEIT_NAMES = {  # by AST's width
    192: "deit_tiny_distilled_patch16_224",
    384: "deit_small_distilled_patch16_224",
    768: "deit_base_distilled_patch16_384",
}
_INSTEAD = "Download the file elsewhere and give it with --set start_file=FILE"
_OLDER_NAMES = (  # as VMamba's own loader renames them
    (r"^patch_embed\.proj\.", "patch_embed.0."),
    (r"^patch_embed\.norm\.", "patch_embed.2."),
    (r"\.ln_1\.", ".norm."),
    (r"\.self_attention\.", ".op."),
    (r"^norm\.", "classifier.norm."),
    (r"^head\.", "classifier.head."),
)


def network_family(card: ModelCard) -> type[NetworkAdapter]:
    """Import a card's adapter, whose network can be trained.

    Raises:
        NiahError: it has no network of torch that is known here: a graph, a function, or a class of another kind.
    """
    family = import_adapter(card)
    if not (isinstance(family, type) and issubclass(family, NetworkAdapter)):
        raise NiahError(
            f"model '{card.name}' cannot be trained: {card.adapter} is no subclass of niah.adapters.NetworkAdapter"
        )
    return family


def start_from(network: nn.Module, model: str, labels: Vocabulary, file: str = "") -> None:
    """Give `network` the weights of another model of its architecture; it keeps its own head for other labels.

    Args:
        network: changed in place.
        model: a card's name or path.
        labels: the network's. A head of other labels is left out, also one with the same number of rows; a head of the
            same labels is brought into their order where the file names another (BEATs).
        file: a weights file to read instead of the card's own, which may be of other labels than the card's: a head of
            another number of rows than these is taken for one of the network's labels.

    Raises:
        NiahError: another architecture, or weights that cannot be fetched or read.
    """
    card, weights = find_model(model)
    family = network_family(card)
    path = Path(file) if file else _released(card, weights)
    known = vocabulary(card.labels_source)
    if issubclass(family, SelfSupervised):  # released without a head
        family.load_body(network, path, other_head=0 if known.ids == labels.ids else len(known))
        return
    try:
        state = family.official_state(read_state(path), network)
    except AssertionError:  # a family that looks at its own network
        raise NiahError(
            f"start '{model}' is of another architecture: {card.adapter}, not {type(network).__name__}"
        ) from None
    if isinstance(network, Aum) and network.streams:
        state = forward_scan(state, network)
    own = network.state_dict()
    head = [key for key, value in own.items() if key in state and state[key].shape != value.shape]
    classes = {own[key].shape[0] for key in head}
    if len(classes) > 1 or any(own[key].shape[1:] != state[key].shape[1:] for key in head):
        raise NiahError(f"start '{model}' is of another architecture: {', '.join(head[:5])} differ")
    if not head:
        rows = [f"{family.head}.{kind}" for kind in ("weight", "bias") if family.head]
        rows = [key for key in rows if key in state and len(state[key]) == len(known)]
        if known.ids != labels.ids:
            head = rows
        elif rows and (order := family.row_order(file_and_set(path)[0], card)) is not None:
            state |= {key: state[key][order] for key in rows}
    load_strictly(
        network,
        {key: own[key] if key in head else value for key, value in state.items()},
        str(path),
    )


def _released(card: ModelCard, weights: str) -> Path:
    try:
        return resolve(card, weights)
    except NiahError as error:
        raise NiahError(f"start: {for_training(error, 'start_file')}") from error


def forward_scan(state: State, network: Aum) -> State:
    """Return what a causal AuM can take over from a Fo-Fo or Fo-Bi one: all but the scan from the end.

    Args:
        state: of the other AuM; that of a causal one is returned as it is.
        network: a causal AuM.

    Returns:
        The state; a mel row's position is the mean of the row's positions over time.
    """
    key, rows = "pos_embed.pos_embed", network.config.places - 1
    table = state.get(key)
    if table is None or table.shape[1] == 1 + rows or (table.shape[1] - 1) % rows:
        return state
    means = table[:, 1:].reshape(1, rows, -1, table.shape[2]).mean(dim=2)
    own = {name: value for name, value in state.items() if not name.endswith(".A_b_log")}
    return {**own, key: torch.cat([table[:, :1], means], dim=1)}


def start_from_imagenet(network: nn.Module, file: str, name: str) -> None:
    """Load ImageNet weights into a DASS or an AST.

    Args:
        network: changed in place.
        file: weights file; "" for the released one.
        name: the model's name, for messages.

    Raises:
        NiahError: a network or a size without such weights, or weights that do not fit or cannot be fetched.
    """
    if isinstance(network, Dass):
        path = Path(file) if file else _fetched_vmamba(network, name)
        start_dass(network, read_state(path), str(path))
    elif isinstance(network, Ast):
        state = read_state(Path(file)) if file else _timm_deit(network, name)
        start_ast(network, state, file or "timm's DeiT")
    else:
        raise NiahError(f"model '{name}' has no ImageNet weights: start from another model instead")


def start_dass(network: Dass, state: State, source: str) -> None:
    """Load VMamba's state dict into a DASS: strict, but the network keeps its own head.

    Args:
        network: changed in place.
        state: state dict in VMamba's names, old or new.
        source: the file, for messages.
    """
    renamed = {}
    for key, value in state.items():
        for pattern, replacement in _OLDER_NAMES:
            key = re.sub(pattern, replacement, key)
        renamed[key] = value
    first = renamed.get("patch_embed.0.weight")
    if first is not None and first.shape[1] == 3:
        renamed["patch_embed.0.weight"] = first.sum(dim=1, keepdim=True)
    _load_but_head(network, _as_shaped(renamed, network), "classifier.head.", source)


def start_ast(network: Ast, state: State, source: str) -> None:
    """Load DeiT's state dict (timm's names) into an AST: strict, but the network keeps its own heads.

    Args:
        network: changed in place.
        state: state dict in timm's names.
        source: the file, for messages.
    """
    body = {
        f"v.{key}": value
        for key, value in state.items()
        if not key.startswith(("head.", "head_dist."))
    }
    patches = body.get("v.patch_embed.proj.weight")
    if patches is not None and patches.shape[1] == 3:
        body["v.patch_embed.proj.weight"] = patches.sum(dim=1, keepdim=True)
    positions = body.pop("v.pos_embed", None)
    if positions is not None and network.config.positions in ("learned", "interpolated"):
        grid = network.config.grid(network.config.trained_frames)
        body["v.pos_embed"] = resize_positions(positions, grid)
    _load_but_head(network, body, "mlp_head.", source)


def resize_positions(positions: Tensor, grid: tuple[int, int]) -> Tensor:
    """Fit position embeddings of a square image to a grid.

    The middle f rows and t columns are taken; an axis that is longer here is resized bilinearly.

    Args:
        positions: (1, 2 + n n, D), class tokens first.
        grid: (f, t).

    Returns:
        (1, 2 + f t, D).
    """
    side = round((positions.shape[1] - CLASS_TOKENS) ** 0.5)
    table = positions[:, CLASS_TOKENS:].transpose(1, 2).reshape(1, -1, side, side)
    for axis, wanted in ((2, grid[0]), (3, grid[1])):
        if wanted <= side:
            table = table.narrow(axis, side // 2 - wanted // 2, wanted)
        else:
            size = (wanted, table.shape[3]) if axis == 2 else (table.shape[2], wanted)
            table = F.interpolate(table, size=size, mode="bilinear", align_corners=False)
    return torch.cat([positions[:, :CLASS_TOKENS], table.flatten(2).transpose(1, 2)], dim=1)


def _load_but_head(network: nn.Module, state: State, head: str, source: str) -> None:
    own = network.state_dict()
    own_head = {key: value for key, value in own.items() if key.startswith(head)}
    body = {key: value for key, value in state.items() if not key.startswith(head)}
    load_strictly(network, {**body, **own_head}, source)


def _as_shaped(state: State, network: nn.Module) -> State:
    """Reshape 1 x 1 convolutions to the linear layers of this network."""
    shapes = {key: value.shape for key, value in network.state_dict().items()}
    return {
        key: value.reshape(shapes[key])
        if key in shapes and value.ndim == 4 and len(shapes[key]) == 2 and value.shape[2:] == (1, 1)
        else value
        for key, value in state.items()
    }


def _fetched_vmamba(network: Dass, name: str) -> Path:
    released = VMAMBA_FILES.get(network.config.depths)
    if released is None:
        raise NiahError(f"model '{name}': VMamba has no weights of depths {network.config.depths}")
    path = cache_folder() / "weights" / "vmamba" / released
    return fetch(f"{_RELEASES}{released}", "", path, instead=_INSTEAD)


def _timm_deit(network: Ast, name: str) -> State:
    released = DEIT_NAMES.get(network.config.width)
    if released is None:
        raise NiahError(f"model '{name}': DeiT has no weights of width {network.config.width}")
    repository = f"timm/{released}.fb_in1k"
    try:
        return read_state(fetch_from_hub(repository, "model.safetensors", ""))
    except NiahError as error:
        raise NiahError(
            f"ImageNet weights for '{name}' (huggingface.co/{repository}): {error}. {_INSTEAD}"
        ) from error
