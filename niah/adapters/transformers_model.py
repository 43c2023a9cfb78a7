"""A tagger of `transformers`: its feature extractor, `AutoModelForAudioClassification`, and scores of its classes.

Waveforms go through the model's own feature extractor, all else being this project's: scenes, windows, metrics. An
extractor that cuts to a length (AST 10.24 s, Whisper 30 s) makes that the model's `fixed_seconds`; one that is not
known here is asked by experiment, and an input whose end leaves no trace in the features is refused.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from niah.adapters.transformers_files import TransformersFiles, head_of, weights_sha256
from niah.errors import NiahError
from niah.system.download import why_no_binary
from niah.vocabularies import Vocabulary

MAY_BE_MISSING = ("masked_spec_embed",)  # of training alone
_ANY_LENGTH = ("Wav2Vec2FeatureExtractor", "SeamlessM4TFeatureExtractor")
_PROBE_S = 64
_END_S = 0.25  # of an input: what must leave a trace
_TRACE = 1e-3


class TransformersBase:
    """The common part of taggers of `transformers`: extractor, rate, limits and provenance, without weights yet.

    Args:
        files: of the model.
        labels: the classes of the logits.
        trust: run the repository's own code.
        device: of the network.
        dtype: of the network.

    Raises:
        NiahError: files that `transformers` cannot load.
    """

    max_seconds = None

    def __init__(
        self,
        files: TransformersFiles,
        labels: Vocabulary,
        *,
        trust: bool = False,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.name = files.name
        self.labels = labels
        self.device, self.dtype = device, dtype
        self.extractor = load_extractor(files, trust=trust)
        self.sample_rate = rate_of(self.extractor, files.name)
        self.fixed_seconds = fixed_seconds(self.extractor, self.sample_rate)
        self.parameters = 0
        self.kernel = "transformers"
        self.weights_sha256 = self.weights_source = ""


class TransformersModel(TransformersBase):
    """An audio classifier of `transformers` as a waveform model.

    Args:
        files: of the model.
        labels: the classes of the logits.
        columns: the model's outputs of these classes; None: all, in their order.
        trust: run the repository's own code.
        device: of the network.
        dtype: of the network.
        bare: leave the weights out; such a model has limits and no logits.

    Raises:
        NiahError: files that `transformers` cannot load, weights without a head, or another number of outputs.
    """

    def __init__(
        self,
        files: TransformersFiles,
        labels: Vocabulary,
        columns: Sequence[int] | None,
        *,
        trust: bool,
        device: torch.device,
        dtype: torch.dtype,
        bare: bool = False,
    ) -> None:
        super().__init__(files, labels, trust=trust, device=device, dtype=dtype)
        self._columns = None if columns is None else list(columns)
        self._is_softmax = head_of(files) == "softmax"
        self._heard = {
            self.fixed_seconds
        }  # lengths in seconds of which the end was found in the features
        if bare:
            return
        self.network = load_network(files, "AutoModelForAudioClassification", trust=trust)
        outputs = len(files.labels)
        if (rows := getattr(self.network.config, "num_labels", outputs)) != outputs:
            raise NiahError(f"model {files.name}: {rows} outputs, and {outputs} labels")
        self.network.eval().to(device, dtype)
        describe(self, files)

    @torch.inference_mode()
    def waveform_logits(self, waveforms: Tensor) -> Tensor:
        """Compute logits: (B, samples) float32 at `sample_rate` -> (B, classes) float32.

        Raises:
            NiahError: the feature extractor drops the end of inputs of that length.
        """
        waves = waveforms.cpu().numpy()
        self._check_end(waves.shape[1])
        inputs = to_device(extracted(self.extractor, waves, self.sample_rate), self)
        logits: Tensor = self.network(**inputs).logits.float()
        if logits.ndim != 2:
            raise NiahError(
                f"model {self.name}: logits {tuple(logits.shape)} are no (clips, classes)"
            )
        if self._is_softmax:
            logits = log_odds(logits)
        return logits if self._columns is None else logits[:, self._columns]

    def _check_end(self, samples: int) -> None:
        """Check once a length that the input's end is not cropped in silence."""
        seconds = samples / self.sample_rate
        if type(self.extractor).__name__ in _ANY_LENGTH or seconds in self._heard:
            return
        if self.fixed_seconds is not None and seconds <= self.fixed_seconds:
            return
        if not hears_end(self.extractor, samples, self.sample_rate):
            raise NiahError(
                f"model {self.name} crops inputs of {seconds:g} s: add --window 10 to run it over windows"
            )
        self._heard.add(seconds)


def load_extractor(files: TransformersFiles, *, trust: bool = False) -> Any:
    """Load a model's feature extractor.

    Raises:
        NiahError: `transformers` cannot.
    """
    from transformers import AutoFeatureExtractor

    with quiet(files, "its feature extractor"):
        return AutoFeatureExtractor.from_pretrained(
            str(files.folder), trust_remote_code=trust, local_files_only=True
        )


def load_network(files: TransformersFiles, kind: str, *, trust: bool = False) -> Any:
    """Load a model with all of its weights, in float32 on the CPU.

    Args:
        files: of the model; the weights are fetched if need be.
        kind: class of `transformers`.
        trust: run the repository's own code.

    Raises:
        NiahError: `transformers` cannot, or the weights lack parameters, such as those of a classification head.
    """
    import transformers

    for path in files.weights():
        if reason := why_no_binary(path):
            raise NiahError(f"{path}: holds no weights: {reason}")
    with quiet(files, "its weights"):
        network, loading = getattr(transformers, kind).from_pretrained(
            str(files.folder),
            trust_remote_code=trust,
            local_files_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused just below, by name
        )
    missing = [str(name) for name in loading.get("missing_keys") or ()]
    lacking = [name for name in missing if not name.endswith(MAY_BE_MISSING)]
    # (name, shape of the file's, shape of the network's)
    lacking += [str(each[0]) for each in loading.get("mismatched_keys") or ()]
    if lacking:
        raise NiahError(
            f"model {files.name}: its weights lack {len(lacking)} parameters or have them in another shape "
            f"({min(lacking)}, ..), so they would be random: has it a trained head for its labels?"
        )
    return network.float()


def describe(model: Any, files: TransformersFiles) -> None:
    """Set what a run records of a loaded model: parameters, checksum, source, and the attention that computes."""
    paths = files.weights()
    model.parameters = sum(each.numel() for each in model.network.parameters())
    model.weights_sha256 = weights_sha256(files, paths)
    model.weights_source = str(paths[0])
    attention = getattr(model.network.config, "_attn_implementation", None)
    model.kernel = f"transformers-{attention}" if attention else "transformers"


def rate_of(extractor: Any, name: str) -> int:
    """Return the sampling rate of a feature extractor in Hz.

    Raises:
        NiahError: it says none.
    """
    rate = getattr(extractor, "sampling_rate", None)
    if not isinstance(rate, int):
        raise NiahError(
            f"model {name}: its feature extractor, {type(extractor).__name__}, says no sampling rate"
        )
    return rate


def fixed_seconds(extractor: Any, rate: int) -> float | None:
    """Return the seconds that a feature extractor cuts or pads to, in whole 10 ms; None: it takes any length.

    Args:
        extractor: of `transformers`.
        rate: its sampling rate in Hz.
    """
    kind = type(extractor).__name__
    if kind == "ASTFeatureExtractor":
        return int(extractor.max_length) / 100  # frames of 10 ms
    for samples in ("nb_max_samples", "n_samples"):  # CLAP, Whisper
        if isinstance(longest := getattr(extractor, samples, None), int):
            return int(100 * longest / rate) / 100
    if kind in _ANY_LENGTH or hears_end(extractor, _PROBE_S * rate, rate):
        return None
    row = rate // 100
    low, high = (
        1,
        _PROBE_S * 100,
    )  # rows of 10 ms: the end of `low` leaves a trace, that of `high` none
    while high - low > 1:
        middle = (low + high) // 2
        heard = hears_end(extractor, middle * row, rate)
        low, high = (middle, high) if heard else (low, middle)
    return (
        max(1, low - round(100 * _END_S) + 1) / 100
    )  # the last quarter of a second begins before the cut


def hears_end(extractor: Any, samples: int, rate: int) -> bool:
    """Return whether the end of an input leaves a trace in its features.

    Args:
        extractor: of `transformers`.
        samples: length of the input.
        rate: its sampling rate in Hz.
    """
    generator = np.random.Generator(np.random.Philox(0))
    one = 0.1 * generator.standard_normal(samples, np.float32)
    other: NDArray[np.float32] = one.copy()
    end = max(1, min(samples, round(_END_S * rate)))
    other[-end:] = generator.permutation(
        one[-end:]
    )  # the same level: a normalisation does not tell them apart
    features = [extracted(extractor, each[None], rate) for each in (one, other)]
    return any(
        value.shape != features[1][name].shape
        or float((value.double() - features[1][name].double()).abs().max()) > _TRACE
        for name, value in features[0].items()
        if isinstance(value, Tensor)
    )


def extracted(extractor: Any, waves: NDArray[np.float32], rate: int) -> dict[str, Any]:
    """Compute features of waveforms of one length: (B, samples) -> what the model's forward takes."""
    features = extractor(list(waves), sampling_rate=rate, return_tensors="pt")
    return dict(features)


def to_device(inputs: dict[str, Any], model: Any) -> dict[str, Any]:
    """Move features to a model's device; those that are real numbers to its dtype."""
    return {
        name: value.to(model.device, model.dtype if value.is_floating_point() else value.dtype)
        for name, value in inputs.items()
        if isinstance(value, Tensor)
    }


def log_odds(logits: Tensor) -> Tensor:
    """Return log(p / (1 - p)) of a softmax p, whose sigmoid is p: z_c - log(sum of exp z_k over k != c).

    Args:
        logits: (B, classes).

    Returns:
        (B, classes) float32, from float64.
    """
    z = logits.double()
    others = z[:, None, :].expand(-1, z.shape[1], -1).clone()
    others.diagonal(dim1=1, dim2=2).fill_(-torch.inf)
    return (z - torch.logsumexp(others, dim=2)).float()


@contextmanager
def quiet(files: TransformersFiles, what: str) -> Iterator[None]:
    """Keep `transformers` from printing, and make one line of what it raises.

    Raises:
        NiahError: anything that it raised.
    """
    from transformers.utils import logging

    level = logging.get_verbosity()
    had_bar = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings(action="ignore"):  # of empty mel filters, for AST's own
            yield
    except NiahError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise NiahError(f"model {files.name}: {what} cannot be loaded: {reason}") from error
    finally:
        logging.set_verbosity(level)
        if had_bar:
            logging.enable_progress_bar()
