"""BirdNET as a class of waveforms, for the card beside it: three seconds at 48 kHz in, logits of six classes out."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter
from torch import Tensor

from niah.cards import ModelCard
from niah.vocabularies import vocabulary

NAMES = {  # AudioSet's id: BirdNET's name of the class
    "/m/0bt9lr": "Dog_Dog",
    "/m/09b5t": "Gallus gallus_Red Junglefowl",
    "/m/03kmc9": "Siren_Siren",
    "/m/0_ksk": "Power tools_Power tools",
    "/m/0g6b5": "Fireworks_Fireworks",
    "/m/04s8yn": "Corvus brachyrhynchos_American Crow",
}
LABELS = "BirdNET_GLOBAL_6K_V2.4_Labels.txt"  # beside the network


class BirdNet:
    """BirdNET 2.4 (Kahl et al. 2021), whose network takes exactly three seconds; it has no gradients and no device."""

    sample_rate = 48000
    fixed_seconds = 3.0

    def __init__(self, card: ModelCard, **_: Any) -> None:
        self.name = card.name
        self.labels = vocabulary(card.labels_source)
        self._network: Interpreter | None = None
        self._columns: list[int] = []

    def load_checkpoint(self, path: str | Path) -> None:
        """Load the network, and find its outputs by their names in the file beside it."""
        names = Path(path).with_name(LABELS).read_text("utf-8").splitlines()
        self._columns = [names.index(NAMES[id_]) for id_ in self.labels.ids]
        self._network = Interpreter(str(path), num_threads=1)
        self._network.allocate_tensors()

    def waveform_logits(self, waveforms: Tensor) -> Tensor:
        """Compute logits: (B, 144000) float32 at 48 kHz -> (B, 6) float32."""
        assert self._network is not None
        (source,), (result,) = self._network.get_input_details(), self._network.get_output_details()
        logits = []
        for wave in waveforms.cpu().numpy():
            self._network.set_tensor(source["index"], wave[None].astype(np.float32))
            self._network.invoke()
            logits.append(self._network.get_tensor(result["index"])[0, self._columns])
        return torch.from_numpy(np.stack(logits))
