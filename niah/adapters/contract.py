"""A check of the adapter protocol (`niah.adapters.Adapter`): everything that a class lacks, in words.

`lacking` looks at its parts; `misbehaving` runs it on two made-up 10 s clips. Neither stops at the first fault.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from niah.cards import ModelCard
from niah.frontends import Frontend
from niah.vocabularies import Vocabulary, vocabulary

PARTS = ("name", "sample_rate", "frontend", "labels", "kernel", "logits")
FRONTEND_PARTS = (*(name for name in vars(Frontend) if not name.startswith("_")), "__call__")
_TOLERANCE = 1e-3  # of logits in float32, in another batch


def lacking(adapter: Any, card: ModelCard) -> Iterator[str]:
    """Parts that are missing or of another kind; nothing is run."""
    missing = [name for name in PARTS if not hasattr(adapter, name)]
    if missing:
        yield f"it lacks {', '.join(missing)}"
    if "logits" not in missing and not callable(adapter.logits):
        yield "logits must be a method, logits(features)"
    for name in ("name", "kernel"):
        if name not in missing and not isinstance(getattr(adapter, name), str):
            yield f"{name} must be text, not {type(getattr(adapter, name)).__name__}"
    if "frontend" not in missing:
        yield from _frontend_lacking(adapter)
    if "labels" not in missing:
        yield from _labels_lacking(adapter.labels, card)


def misbehaving(adapter: Any, device: torch.device) -> Iterator[str]:
    """Yield what two clips through its front end and its network bring to light."""
    yield from _frontend_misbehaving(adapter)
    try:
        features = _features(adapter)
    except Exception:  # told by `lacking` or just above: there is nothing to run the network on
        yield "logits could not be checked without a front end"
        return
    kept = features.clone()
    try:
        both = adapter.logits(features)
    except Exception as error:
        yield f"logits of {_shape(features)} raised {_told(error)}"
        return
    if not isinstance(both, Tensor):
        yield f"logits must return a torch.Tensor, not {type(both).__name__}"
        return
    yield from _badly_made(both, adapter, device)
    if both.device.type not in ("cpu", device.type):
        return  # what lies elsewhere cannot be looked at
    both = both.detach()
    if not torch.equal(features, kept):
        yield "logits changed the features that it was given: work on a copy"
    yield from _inconsistent(adapter, kept, both)


def _features(adapter: Any) -> Tensor:
    """Two clips of unlike loudness, as needles: (2, needle_frames, mels)."""
    generator = torch.Generator().manual_seed(0)
    frontend = adapter.frontend
    waves = torch.randn(2, 10 * frontend.sample_rate, generator=generator)
    waves *= torch.tensor([[0.1], [0.003]])
    made: Tensor = torch.stack([frontend.needle(wave) for wave in waves])
    return made


def _frontend_lacking(adapter: Any) -> Iterator[str]:
    frontend = adapter.frontend
    if missing := [name for name in FRONTEND_PARTS if not hasattr(frontend, name)]:
        yield (
            f"frontend ({type(frontend).__name__}) lacks {', '.join(missing)}; take one of niah.frontends, for example "
            "KaldiFrontend(mean=.., std=..)"
        )
    rates = getattr(frontend, "sample_rate", None), getattr(adapter, "sample_rate", None)
    if None not in rates and rates[0] != rates[1]:
        yield f"sample_rate is {rates[1]} and its front end's is {rates[0]}: they must be the same"


def _labels_lacking(labels: Any, card: ModelCard) -> Iterator[str]:
    if not isinstance(labels, Vocabulary):
        yield (
            f"labels must be a Vocabulary, not {type(labels).__name__}: "
            "niah.vocabularies.vocabulary(card.labels_source) makes it"
        )
    elif labels.ids != vocabulary(card.labels_source).ids:
        yield f"labels are not those that the card names ({card.labels}), in their order"


def _frontend_misbehaving(adapter: Any) -> Iterator[str]:
    frontend = getattr(adapter, "frontend", None)
    if frontend is None or any(not hasattr(frontend, name) for name in FRONTEND_PARTS):
        return
    shift, rate = frontend.frame_shift, frontend.sample_rate
    if rate != 100 * shift:
        yield f"the front end's frames lie {1000 * shift / rate:g} ms apart: the harness counts 10 ms frames"
    wave = 0.1 * torch.randn(2, 2 * rate, generator=torch.Generator().manual_seed(1))
    wanted = {
        "frontend(waveform)": (2, frontend.frames(2 * rate), frontend.mels),
        "frontend.needle(clip)": (frontend.needle_frames, frontend.mels),
    }
    for what, shape in wanted.items():
        try:
            made = frontend(wave) if len(shape) == 3 else frontend.needle(wave[0])
        except Exception as error:
            yield f"{what} raised {_told(error)}"
            continue
        if tuple(made.shape) != shape or made.dtype != torch.float32:
            yield f"{what} is {made.dtype} {tuple(made.shape)}, must be float32 {shape}"
        elif not bool(torch.isfinite(made).all()):
            yield f"{what} holds NaN or infinity"


def _badly_made(logits: Tensor, adapter: Any, device: torch.device) -> Iterator[str]:
    classes = len(adapter.labels) if hasattr(adapter, "labels") else None
    if logits.ndim != 2 or len(logits) != 2:
        yield f"logits of 2 clips are {tuple(logits.shape)}, must be (2, classes)"
    elif classes is not None and logits.shape[1] != classes:
        yield f"logits have {logits.shape[1]} columns, and there are {classes} labels"
    if logits.dtype != torch.float32:
        yield f"logits are {logits.dtype}, must be float32 (give .float())"
    if logits.requires_grad:
        yield "logits carry gradients: compute them under torch.inference_mode()"
    if logits.device.type not in ("cpu", device.type):
        yield f"logits are on {logits.device}, must be on the CPU or on {device}"
    elif not bool(torch.isfinite(logits).all()):
        yield "logits hold NaN or infinity"


def _inconsistent(adapter: Any, features: Tensor, both: Tensor) -> Iterator[str]:
    """Run again, alone and together: the same clip must score the same."""
    try:
        again, alone = (adapter.logits(x.clone()).detach() for x in (features, features[:1]))
    except Exception as error:
        yield f"logits worked once and then raised {_told(error)}"
        return
    if again.shape == both.shape and _apart(again, both) > 0:
        yield (
            f"logits differ by {_apart(again, both):.2g} between two runs on the same features: "
            "call .eval(), and seed what is random"
        )
    if both.ndim != 2 or alone.shape != both[:1].shape:
        if both.ndim == 2:
            yield f"logits of 1 clip are {tuple(alone.shape)}, must be (1, classes)"
    elif (apart := _apart(alone, both[:1])) > _TOLERANCE:
        yield (
            f"logits of a clip differ by {apart:.2g} when another clip is in the batch: "
            "clips must not see each other (batch normalisation in training mode?)"
        )


def _apart(one: Tensor, other: Tensor) -> float:
    """Largest difference; NaN in the same place is none, for it is told apart from this."""
    return float((one.double() - other.double()).abs().nan_to_num(0.0).max())


def _shape(features: Tensor) -> str:
    return "features " + " x ".join(str(size) for size in features.shape)


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
