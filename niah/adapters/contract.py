"""A check of the protocols `niah.adapters.Adapter` and `niah.adapters.waveform.WaveformModel`: each fault in words.

`part_problems` looks at its attributes; `behaviour_problems` runs it on two noise clips of 10 s. Neither stops at the
first fault.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from niah.adapters.waveform import WaveformAdapter, seconds_of
from niah.errors import NiahError
from niah.frontends import Frontend
from niah.frontends.waveform import WaveformFrontend
from niah.placement import FRAMES_PER_SECOND
from niah.vocabularies import Vocabulary

PARTS = ("name", "sample_rate", "frontend", "labels", "kernel", "logits")
WAVEFORM_PARTS = ("name", "sample_rate", "labels", "waveform_logits")
FRONTEND_PARTS = (*(name for name in vars(Frontend) if not name.startswith("_")), "__call__")
_TOLERANCE = 1e-3  # of logits in float32, in another batch


def takes_waveforms(made: object) -> bool:
    """Return whether an object is a waveform model that no adapter is around yet."""
    return hasattr(made, "waveform_logits") and not hasattr(made, "logits")


def part_problems(made: Any, labels: Vocabulary) -> Iterator[str]:
    """Find parts of an adapter or waveform model that are missing or of another type; nothing is run.

    Args:
        made: an instance of a user's class.
        labels: the classes of its card, which it must have.

    Yields:
        One sentence a problem.
    """
    parts: tuple[str, ...] = PARTS
    method, argument = "logits", "features"
    if takes_waveforms(made):
        parts, method, argument = WAVEFORM_PARTS, "waveform_logits", "waveforms"
    missing = [name for name in parts if not hasattr(made, name)]
    if missing:
        yield f"it lacks {', '.join(missing)}"
    if method not in missing and not callable(getattr(made, method)):
        yield f"{method} must be a method, {method}({argument})"
    for name in ("name", "kernel"):
        if hasattr(made, name) and not isinstance(getattr(made, name), str):
            yield f"{name} must be text, not {type(getattr(made, name)).__name__}"
    if takes_waveforms(made) and "sample_rate" not in missing:
        yield from _waveform_part_problems(made)
    elif not takes_waveforms(made) and "frontend" not in missing:
        yield from _frontend_part_problems(made)
    if "labels" not in missing:
        yield from _labels_problems(made.labels, labels)


def behaviour_problems(adapter: Any, device: torch.device) -> Iterator[str]:
    """Run two clips through the front end and the network, and check the shapes, dtypes and values that come back.

    Args:
        adapter: an instance of a user's class.
        device: where its logits may be, beside the CPU.

    Yields:
        One sentence a problem.
    """
    yield from _frontend_problems(adapter)
    try:
        features = _features(adapter)
    except (Exception, SystemExit):  # already reported by `part_problems` or just above
        yield "logits could not be checked without a front end"
        return
    original = features.clone()
    try:
        logits_of_both = adapter.logits(features)
    except (Exception, SystemExit) as error:
        yield f"{_call(adapter, features)} raised {_error_text(error)}"
        return
    if not isinstance(logits_of_both, Tensor):
        yield f"logits must return a torch.Tensor, not {type(logits_of_both).__name__}"
        return
    if logits_of_both.layout is not torch.strided:
        yield f"logits must be dense, not {logits_of_both.layout}"
        return
    yield from _logits_problems(logits_of_both, adapter, device)
    if logits_of_both.device.type not in ("cpu", device.type):
        return  # a tensor on another device cannot be compared here
    logits_of_both = logits_of_both.detach()
    if not torch.equal(features, original):
        yield "logits changed its input in place: work on a copy"
    yield from _consistency_problems(adapter, original, logits_of_both)


def _features(adapter: Any) -> Tensor:
    """Make two noise clips of unlike loudness, as needles (2, needle_frames, mels) or as long as the model takes."""
    generator = torch.Generator().manual_seed(0)
    frontend = adapter.frontend
    waves = torch.randn(2, 10 * frontend.sample_rate, generator=generator)
    waves *= torch.tensor([[0.1], [0.003]])
    features: Tensor = torch.stack([frontend.needle(wave) for wave in waves])
    if isinstance(adapter, WaveformAdapter) and adapter.longest_s is not None:
        features = features[:, : int(adapter.longest_s * FRAMES_PER_SECOND)].contiguous()
    return features


def _frontend_part_problems(adapter: Any) -> Iterator[str]:
    frontend = adapter.frontend
    if missing := [name for name in FRONTEND_PARTS if not hasattr(frontend, name)]:
        yield (
            f"frontend ({type(frontend).__name__}) lacks {', '.join(missing)}; take one of niah.frontends, for example "
            "KaldiFrontend(mean=.., std=..)"
        )
    rates = getattr(frontend, "sample_rate", None), getattr(adapter, "sample_rate", None)
    if None not in rates and rates[0] != rates[1]:
        yield f"sample_rate is {rates[1]} and its front end's is {rates[0]}: they must be the same"
    shift, rate = getattr(frontend, "frame_shift", None), rates[0]
    if isinstance(shift, int) and isinstance(rate, int) and rate != 100 * shift:
        yield f"the front end's frames are {1000 * shift / rate:g} ms apart: the harness counts 10 ms frames"


def _waveform_part_problems(model: Any) -> Iterator[str]:
    """Check the rate and the limits, as the adapter around the model reads them."""
    if not isinstance(model.sample_rate, int):
        yield f"sample_rate must be whole Hz, not {type(model.sample_rate).__name__}"
        return
    try:
        WaveformFrontend(model.sample_rate)
    except NiahError as error:
        yield str(error)
    for name in ("max_seconds", "fixed_seconds"):
        try:
            seconds_of(model, name)
        except NiahError as error:
            yield str(error)


def _labels_problems(labels: Any, wanted: Vocabulary) -> Iterator[str]:
    if not isinstance(labels, Vocabulary):
        yield (
            f"labels must be a Vocabulary, not {type(labels).__name__}: "
            "niah.vocabularies.vocabulary(card.labels_source) makes it"
        )
    elif labels.ids != wanted.ids:
        yield f"labels are not those that the card names ({wanted.name}), in their order"


def _frontend_problems(adapter: Any) -> Iterator[str]:
    frontend = getattr(adapter, "frontend", None)
    if frontend is None or any(not hasattr(frontend, name) for name in FRONTEND_PARTS):
        return
    rate = frontend.sample_rate
    wave = 0.1 * torch.randn(2, 2 * rate, generator=torch.Generator().manual_seed(1))
    expected = {
        "frontend(waveform)": (2, frontend.frames(2 * rate), frontend.mels),
        "frontend.needle(clip)": (frontend.needle_frames, frontend.mels),
    }
    for call, shape in expected.items():
        try:
            features = frontend(wave) if len(shape) == 3 else frontend.needle(wave[0])
        except (Exception, SystemExit) as error:
            yield f"{call} raised {_error_text(error)}"
            continue
        if tuple(features.shape) != shape or features.dtype != torch.float32:
            yield f"{call} is {features.dtype} {tuple(features.shape)}, must be float32 {shape}"
        elif not bool(torch.isfinite(features).all()):
            yield f"{call} holds NaN or infinity"


def _logits_problems(logits: Tensor, adapter: Any, device: torch.device) -> Iterator[str]:
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


def _consistency_problems(adapter: Any, features: Tensor, both: Tensor) -> Iterator[str]:
    """Run again, alone and in a batch: the same clip must score the same."""
    try:
        again, alone = (adapter.logits(x.clone()).detach() for x in (features, features[:1]))
    except (Exception, SystemExit) as error:
        yield f"logits worked once and then raised {_error_text(error)}"
        return
    if again.shape == both.shape and _largest_difference(again, both) > 0:
        yield (
            f"logits differ by {_largest_difference(again, both):.2g} between two runs on the same input: "
            "call .eval(), and seed what is random"
        )
    if both.ndim != 2 or alone.shape != both[:1].shape:
        if both.ndim == 2:
            yield f"logits of 1 clip are {tuple(alone.shape)}, must be (1, classes)"
    elif (difference := _largest_difference(alone, both[:1])) > _TOLERANCE:
        yield (
            f"logits of a clip differ by {difference:.2g} when another clip is in the batch: "
            "clips must not see each other (batch normalisation in training mode?)"
        )


def _largest_difference(one: Tensor, other: Tensor) -> float:
    """Return the largest difference; NaN counts as none, for NaN is reported separately."""
    return float((one.double() - other.double()).abs().nan_to_num(0.0).max())


def _call(adapter: Any, features: Tensor) -> str:
    """The call of the user's own method, in words."""
    method, what, shape = "logits", "features", features.shape
    if isinstance(adapter, WaveformAdapter):
        method, what, shape = "waveform_logits", "waveforms", features.flatten(1).shape
    return f"{method} of {what} {' x '.join(map(str, shape))}"


def _error_text(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
