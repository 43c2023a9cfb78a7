"""A model that was found and not loaded yet: its card, its labels and the way to make it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from niah.cards import ModelCard
from niah.vocabularies import Vocabulary

if TYPE_CHECKING:
    import torch

OWN_LABELS = "model"
"""For `labels`: the model's own."""


@dataclass(frozen=True)
class ModelRequest:
    """Options of a run for models without a card."""

    labels: str = (
        ""  # a vocabulary's name or file; "model": the model's own; "": the source's default
    )
    sample_rate: int | None = None  # in Hz, of functions of waveforms
    prompt: str = ""  # of text models, with {} for a class's name; "": theirs
    trust_remote_code: bool = False  # run a repository's own Python files


@dataclass(frozen=True)
class ModelSource:
    """A model that was found, not loaded yet.

    Attributes:
        card: as read, or made up for a model without one; its name is the name of the rows.
        weights: a key of `card.weights`; "" if the card has none.
        labels: the classes of the logits, in their order.
        make: makes the adapter or waveform model, weights and all; None: `card.adapter` is imported.
        code_sha256: of the user's code, for cell keys; "" where the card's import string tells.
        revision: of a repository, for run.json.
        random: an object's weights are random: no accuracy is reported.
        custom_code: checksum of a repository's own Python files, if they are run; a column of every row.
        notes: sentences for the user.
        record: further entries of the model in run.json.
        make_bare: makes a model without weights, whose front end and limits are usable; None: `make` is cheap.
        is_here: whether `make` needs no network; None: it never does.
    """

    card: ModelCard
    weights: str
    labels: Vocabulary
    make: "Callable[[torch.device, torch.dtype], Any] | None" = None
    code_sha256: str = ""
    revision: str = ""
    random: bool = False
    custom_code: str = ""
    notes: tuple[str, ...] = ()
    record: Mapping[str, Any] = field(default_factory=dict)
    make_bare: "Callable[[torch.device, torch.dtype], Any] | None" = None
    is_here: Callable[[], bool] | None = None
