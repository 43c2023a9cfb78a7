"""Taggers that hear a scene piece by piece, with planted faults; states are what a user's own model might keep.

`Listener` hears the tones of `tests.helpers.tiny`: the logit of a class is the loudest frame of the last second in its
band (`tests.helpers.planted.BANDS`), and it forgets at once what is over. [config] plants the fault:

    late_s      what is heard comes out only so many seconds later
    flickers    every other second nothing is heard
    drift       is added to every logit, for each second since the start
    hoards      the whole recording is kept in the state
    keeps_s     what was heard stays loud for so many seconds
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from niah.adapters.checkpoints import State
from niah.adapters.network_adapter import NetworkAdapter
from tests.helpers.planted import BANDS

LAST_FRAMES = 100


class Memory(NamedTuple):
    """The last second's rows, the seconds so far, and the logits of the last ones."""

    rows: Tensor
    seconds: float
    before: tuple[tuple[float, Tensor], ...]  # (seconds, logits), as long as they matter


class Listener(nn.Module):
    """(B, frames, 128) -> (B, classes), and the same piece by piece."""

    def __init__(
        self,
        classes: int,
        late_s: float = 0.0,
        flickers: bool = False,
        drift: float = 0.0,
        hoards: bool = False,
        keeps_s: float = 0.0,
    ) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(classes))
        self.late_s, self.flickers, self.drift = late_s, flickers, drift
        self.hoards, self.keeps_s = hoards, keeps_s

    def start(self) -> Memory:
        return Memory(torch.empty(1, 0, 128), 0.0, ())

    def step(self, state: Memory, x: Tensor) -> tuple[Memory, Tensor | None]:
        rows = torch.cat([state.rows, x], dim=1)
        if not rows.shape[1]:
            return state, None
        seconds = state.seconds + x.shape[1] / 100
        last = rows[:, -LAST_FRAMES:].clone()
        now = self.gain * torch.stack([last[..., a:b].amax(dim=(1, 2)) for a, b in BANDS], dim=-1)
        memory = max(self.late_s, self.keeps_s)
        before = (*((s, z) for s, z in state.before if s > seconds - memory - 1e-6), (seconds, now))
        said = now
        if self.late_s:
            said = before[0][1] if seconds > self.late_s else torch.full_like(now, float(now.min()))
        if self.keeps_s:
            said = torch.stack([z for _, z in before]).amax(dim=0)
        if self.flickers and round(seconds) % 2:
            said = torch.full_like(said, float(last.min()))
        kept = rows if self.hoards else last
        return Memory(kept, seconds, before if memory else ()), said + self.drift * seconds

    def forward(self, x: Tensor) -> Tensor:
        _, logits = self.step(self.start(), x)
        assert logits is not None
        return logits


class PlantedStream(NetworkAdapter):
    """The adapter around `Listener`."""

    network: Listener

    @staticmethod
    def build(config: Mapping[str, Any], classes: int) -> nn.Module:
        return Listener(classes, **config)

    @staticmethod
    def official_state(state: State, network: nn.Module) -> State:  # noqa: ARG004
        return state
