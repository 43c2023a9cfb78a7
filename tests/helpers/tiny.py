"""A tagger of a few thousand parameters, its card, and labelled WAV files, for end-to-end tests.

The card names `TinyTagger` by import string, as it would a user's own adapter. Its [config] can make it slow (for
kills), wide (to run out of memory), refuse long inputs or kill its process at one length. Where `TINY_LOG` names a
file, it writes a line for every scene that it scores.
"""

import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from niah.adapters.checkpoints import State
from niah.adapters.network_adapter import NetworkAdapter
from niah.errors import NiahError

REPOSITORY = Path(__file__).resolve().parents[2]
IDS = ("/t/low", "/t/middle", "/t/high")
HERTZ = (300.0, 1200.0, 4000.0)
SAMPLE_RATE = 16000


class Network(nn.Module):
    """(B, frames, 128) -> (B, classes): a hidden layer on every frame, the mean over frames, a linear layer."""

    def __init__(
        self,
        classes: int,
        hidden: int = 16,
        delay_s: float = 0.0,
        longest: int = 0,
        deadly: int = 0,
    ) -> None:
        super().__init__()
        self.hidden = nn.Linear(128, hidden)
        self.head = nn.Linear(hidden, classes)
        self.delay_s = delay_s
        self.longest = longest
        self.deadly = deadly

    def forward(self, x: Tensor) -> Tensor:
        if self.longest and x.shape[1] > self.longest:
            raise NiahError(f"this tagger takes at most {self.longest} frames")
        if self.deadly == x.shape[1]:
            os.kill(os.getpid(), signal.SIGKILL)
        if log := os.environ.get("TINY_LOG"):
            with Path(log).open("a") as file:
                file.writelines(f"{os.getpid()} {x.shape[1]} {time.time()}\n" for _ in x)
        time.sleep(self.delay_s)
        out: Tensor = self.head(torch.relu(self.hidden(x)).mean(dim=1))
        return out


class TinyTagger(NetworkAdapter):
    """The adapter around `Network`."""

    @staticmethod
    def build(config: Mapping[str, Any], classes: int) -> nn.Module:
        return Network(classes, **config)

    @staticmethod
    def official_state(state: State, network: nn.Module) -> State:  # noqa: ARG004
        return state


def card(folder: Path, name: str = "tiny", labels: str = "labels.csv", **config: float) -> Path:
    """Write a card (and its label CSV) without weights; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [f"{index},{id_},{id_[3:]}" for index, id_ in enumerate(IDS)]
    (folder / "labels.csv").write_text("\n".join(["index,mid,display_name", *rows]) + "\n")
    lines = [
        f'name = "{name}"',
        'adapter = "tests.helpers.tiny:TinyTagger"',
        f'labels = "{labels}"',
        "[config]",
    ]
    path = folder / f"{name}.toml"
    path.write_text("\n".join([*lines, *(f"{key} = {value}" for key, value in config.items())]))
    return path


def checkpoint(folder: Path, classes: int = len(IDS), hidden: int = 16, seed: int = 0) -> Path:
    """Write seeded weights that fit a card of that width; returns the file."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        state = Network(classes, hidden).state_dict()
    path = folder / f"tiny-{hidden}-{classes}-{seed}.safetensors"
    save_file(state, path)
    return path


def tone(index: int, seconds: float = 10.0, rate: int = SAMPLE_RATE) -> NDArray[np.float64]:
    """A burst of the class `index % 3` in faint noise, each index its own."""
    rng = np.random.default_rng(index)
    t = np.arange(int(seconds * rate)) / rate
    burst = np.exp(-(((t - rng.uniform(1, 9)) / 0.8) ** 2))
    pitch = HERTZ[index % len(IDS)] * rng.uniform(0.9, 1.1)
    faint: NDArray[np.float64] = 0.01 * rng.standard_normal(len(t))
    return 0.4 * burst * np.sin(2 * np.pi * pitch * t) + faint


def manifest(folder: Path, clips: int = 6, extra: Sequence[tuple[str, str]] = ()) -> Path:
    """Write `clips` WAV files and a CSV of them and of `extra` rows (path, labels); returns the CSV."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for index in range(clips):
        soundfile.write(folder / f"clip{index:02d}.wav", tone(index), SAMPLE_RATE)
        rows.append((f"clip{index:02d}.wav", IDS[index % len(IDS)]))
    path = folder / "clips.csv"
    path.write_text("\n".join(["path,labels", *(",".join(row) for row in [*rows, *extra])]) + "\n")
    return path


def environment(cache: Path) -> dict[str, str]:
    """For a subprocess: this checkout importable, one thread, its own cache."""
    found = {**os.environ, "NIAH_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    paths = [str(REPOSITORY), os.environ.get("PYTHONPATH", "")]
    return {**found, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}


@dataclass(frozen=True)
class Material:
    """A card, weights and six clips in a folder: the ingredients of a quick run."""

    folder: Path
    card: Path
    weights: Path
    clips: Path

    @classmethod
    def make(cls, folder: Path) -> Self:
        return cls(folder, card(folder), checkpoint(folder), manifest(folder))
