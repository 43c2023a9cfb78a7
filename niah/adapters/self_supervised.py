"""The common part of SSAMBA and SSAST: checkpoints released without a head, positions stored for another grid.

The released files are self-supervised: `v.*`, and the weights of pre-training. A tagger is such a body with an
`mlp_head` after fine-tuning, by the authors' scripts or by `niah train`; `load_body` is where fine-tuning starts.
"""

from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from niah.adapters.checkpoints import State, load_strictly, read_state
from niah.adapters.network_adapter import NetworkAdapter
from niah.errors import NiahError
from niah.networks.layers.positions import Grid, cut_or_resize
from niah.networks.ssast import PatchGrid

PRETRAINING_STRIDE = (16, 16)
_PRETRAINING = ("mask_embed", "p_input_fdim", "p_input_tdim", "cpredlayer.", "gpredlayer.")
_UNUSED = (
    "v.head.",
    "v.head_dist.",
)  # ImageNet heads that official files carry because they load strictly
_HEAD = "mlp_head."
_POSITIONS = "v.pos_embed"


class SelfSupervised(NetworkAdapter):
    """An adapter whose checkpoints are fine-tuned from a self-supervised one."""

    network: Any  # with `config`, a PatchGrid
    class_tokens: ClassVar[int]  # rows of the table of positions before the patches'

    def load(self, path: Path) -> None:
        """Build the network to the checkpoint's table of positions, and load it.

        Raises:
            NiahError: a self-supervised checkpoint, without a head.
        """
        state = read_state(path)
        head = [key for key in self.network.state_dict() if key.startswith(_HEAD)]
        missing = [key for key in head if key not in state]
        if missing == head and _POSITIONS in state:
            raise NiahError(
                f"checkpoint {path} needs a fine-tuned head: it is self-supervised and cannot tag (missing "
                f"{', '.join(missing)}). Fine-tune it, and give the fine-tuned file"
            )
        stored = stored_grid(state, self.network, self.class_tokens)
        if any(stored) and stored != self.network.config.stored:
            self.config = {**self.config, "table": stored}
            self.network = self.outline()
        super().load(path)

    def tokens(self, frames: int) -> int:
        """Return the number of patches; class tokens are not counted."""
        rows, columns = self.network.config.grid(frames)
        return int(rows * columns)

    @staticmethod
    def official_state(state: State, network: nn.Module) -> State:  # noqa: ARG004
        """Return the state without the keys that only pre-training uses: the other official keys are ours."""
        return {k: v for k, v in state.items() if not k.startswith((*_PRETRAINING, *_UNUSED))}

    @classmethod
    def load_body(cls, network: nn.Module, path: Path, other_head: int = 0) -> None:
        """Load the body of a checkpoint strictly, to start fine-tuning; also its head, where it has one of this size.

        Positions stored for another grid are resized to the network's once, as the official fine-tuning does.

        Args:
            network: is changed in place; keeps its own head where the checkpoint has none of this size.
            path: of the checkpoint.
            other_head: number of rows of a head that is of other labels, and is not loaded; 0 for none.

        Raises:
            NiahError: a body that does not fit.
        """
        state = cls.official_state(read_state(path), network)
        head = {k: v for k, v in network.state_dict().items() if k.startswith(_HEAD)}
        is_other = len(state.get(f"{cls.head}.bias", ())) == other_head > 0
        if is_other or any(
            key not in state or state[key].shape != value.shape for key, value in head.items()
        ):
            state = {key: value for key, value in state.items() if not key.startswith(_HEAD)} | head
        config: PatchGrid = network.config  # type: ignore[assignment]
        stored = stored_grid(state, network, cls.class_tokens)
        if stored != config.stored and any(stored):
            state[_POSITIONS] = _resized(state[_POSITIONS], cls.class_tokens, stored, config.stored)
        load_strictly(network, state, str(path))


def stored_grid(state: State, network: nn.Module, class_tokens: int) -> Grid:
    """Find the grid of the stored positions: that of the card's stride, or of the pre-training's.

    The trained length decides where it can; a table of another length is taken for one of the card's stride first.

    Args:
        state: the tensors of a checkpoint.
        network: its `config` is a `PatchGrid`.
        class_tokens: rows of the table before the patches'.

    Returns:
        (rows, columns); (0, 0) if the table fits neither.
    """
    config: PatchGrid = network.config  # type: ignore[assignment]
    table = state.get(_POSITIONS)
    if table is None or table.ndim != 3 or table.shape[1] <= class_tokens:
        return 0, 0  # strict loading names the key
    places = int(table.shape[1]) - class_tokens
    rows = (config.mels - config.patch[0]) // config.stride[0] + 1
    before = (config.mels - config.patch[0]) // PRETRAINING_STRIDE[0] + 1
    trained = before, (config.trained_frames - config.patch[1]) // PRETRAINING_STRIDE[1] + 1
    if places == trained[0] * trained[1]:
        return trained
    for candidate in (rows, before):
        if places % candidate == 0:
            return candidate, places // candidate
    return 0, 0


def _resized(table: Tensor, class_tokens: int, stored: Grid, wanted: Grid) -> Tensor:
    patches = cut_or_resize(table[:, class_tokens:].float(), stored, wanted)
    return torch.cat([table[:, :class_tokens].float(), patches], dim=1)
