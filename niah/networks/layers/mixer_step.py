"""One step of a mixer that scans forward: the next tokens of a sequence, from the state of those before.

The state of a `fo-fo` mixer (`niah.networks.layers.mamba_mixer`) is the last three inputs of its convolution and the
scan's N numbers a channel: (3 + N) E numbers, however long the sequence was.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from niah.networks.layers.mamba_mixer import TAPS, MambaMixer, convolve


class MixerState(NamedTuple):
    """The state after some tokens.

    Attributes:
        inputs: (B, 3, E), the convolution's last inputs.
        scan: (B, E, N), the scan's state.
    """

    inputs: Tensor
    scan: Tensor


def step_mixer(mixer: MambaMixer, h: Tensor, state: MixerState | None) -> tuple[Tensor, MixerState]:
    """Mix the next tokens: what the mixer would compute at their places in the whole sequence.

    Args:
        mixer: of design `fo-fo`.
        h: (B, L, D), L from 1 on.
        state: after the tokens before; None at the start.

    Returns:
        (B, L, D), and the state after these tokens.

    Raises:
        ValueError: a mixer that also scans from the end.
    """
    if mixer.design != "fo-fo":
        raise ValueError(
            f"a mixer of design {mixer.design} scans from the end: it has no next step"
        )
    (direction,) = mixer.directions()
    x, z = mixer.in_proj(h).chunk(2, dim=-1)
    halo = TAPS - 1
    before = x.new_zeros(len(x), halo, x.shape[2]) if state is None else state.inputs
    seen = torch.cat([before, x], dim=1)
    c = F.silu(convolve(F.pad(seen, (0, 0, 0, halo)), direction))
    y, scan = mixer.scan(c, direction.x_proj(c), direction, None if state is None else state.scan)
    return mixer.gated(y, z), MixerState(seen[:, -halo:].clone(), scan)
