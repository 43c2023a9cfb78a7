"""A model in memory, with all that its cells and other stored results depend on."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from niah.adapters.loading import adapter_info
from niah.adapters.protocol import Adapter
from niah.needles.needle_part import FIRST
from niah.needles.prepared import PreparedNeedles
from niah.records.schema import cell_key
from niah.sweep.cell_scenes import Scenes
from niah.sweep.models import ModelSpec
from niah.vocabularies import Vocabulary

EXACT = "float32"


@dataclass(frozen=True)
class LoadedModel:
    """One model in memory, with the scenes and the clips of its front end."""

    spec: ModelSpec
    adapter: Adapter
    scenes: Scenes
    prepared: PreparedNeedles
    labels: Vocabulary  # the classes that count in the run
    needle_part: str = FIRST
    dtype: str = EXACT  # that the adapter computes in

    @property
    def name(self) -> str:
        """The card's name."""
        return self.spec.name

    @cached_property
    def weights_sha256(self) -> str:
        """Hash of the weights in memory."""
        return adapter_info(self.adapter).weights_sha256

    @cached_property
    def columns(self) -> list[int] | None:
        """Outputs of the classes that count in the run; None if they are all, in this order."""
        own = self.spec.labels
        return None if own.ids == self.labels.ids else [own.index(id_) for id_ in self.labels.ids]

    @property
    def class_determinants(self) -> dict[str, str]:
        """Parts of keys for the choice of classes; none where all outputs are stored."""
        return {} if self.columns is None else {"classes": " ".join(self.labels.ids)}

    def counted(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the columns of the classes that count in the run: (n, outputs) -> (n, classes)."""
        return logits if self.columns is None else logits[:, self.columns]

    def key(self, haystack: str | None, **determinants: str | float | None) -> str:
        """Hash of all that determines a result of this model in this haystack (None: needle alone)."""
        scenes = self.scenes.builder(haystack or next(iter(self.scenes.haystacks)))
        return cell_key(
            {
                "model": self.spec.card.fingerprint,
                "weights": self.weights_sha256,
                "frontend": self.adapter.frontend.fingerprint,
                "scenes": scenes.fingerprint if haystack else scenes.protocol,
                "clips": self.prepared.needles.ids_sha256,
                **({} if self.needle_part == FIRST else {"needle_part": self.needle_part}),
                **({} if self.dtype == EXACT else {"dtype": self.dtype}),
                **({"adapter_code": code} if (code := self.spec.source.code_sha256) else {}),
                **self.class_determinants,
                **determinants,
            }
        )
