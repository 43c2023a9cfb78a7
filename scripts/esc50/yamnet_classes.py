"""YAMNet's scores of the folds' classes, as a teacher whose labels are the student's."""

from typing import Any

import torch
from torch import Tensor

from niah.adapters.loading import load_model
from niah.vocabularies import esc50_to_audioset, vocabulary
from niah.vocabularies.names import alike_names, normalised

YAMNET = vocabulary("yamnet-521")


def column_of(label: str) -> int | None:
    """Return YAMNet's column of a class of ESC-50, where one is exactly that, or of an instrument; None without one."""
    if match := esc50_to_audioset().get(label):
        ids: tuple[str | None, ...] = match.labels()
    else:
        name = label.replace("_or_", ", ").replace("_", " ")
        ids = (alike_names(YAMNET).get(normalised(name)),)
    columns = [YAMNET.index(id_) for id_ in ids if id_ is not None and id_ in YAMNET]
    return columns[0] if columns else None


class YamnetClasses:
    """The columns of YAMNet (`models/yamnet.toml`) that are the card's labels."""

    kernel = "onnx"

    def __init__(self, card: Any, *, device: torch.device, dtype: torch.dtype) -> None:
        self.name = card.name
        self.labels = vocabulary(card.labels_source)
        self.yamnet: Any = load_model("yamnet")
        self.frontend, self.sample_rate = self.yamnet.frontend, self.yamnet.sample_rate
        self.device, self.dtype = device, dtype
        columns = [column_of(label) for label in self.labels.ids]
        assert None not in columns
        self.columns = torch.tensor(columns)

    def logits(self, features: Tensor) -> Tensor:
        """Compute (b, classes) logits of (b, frames, mels) features."""
        logits: Tensor = self.yamnet.logits(features)
        return logits[:, self.columns]
