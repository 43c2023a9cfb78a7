"""A tagger of `transformers`: its feature extractor, `AutoModelForAudioClassification`, and scores of its classes.

Waveforms go through the model's own feature extractor, all else being this project's: scenes, windows, metrics. An
extractor that cuts to a length (AST 10.24 s, Whisper 30 s) makes that the model's `fixed_seconds`; one that is not
known here is asked by experiment, and an input whose end leaves no trace in the features is refused.

The architectures of `transformers` give logits. A repository's own code may give probabilities under that name (CED's
does): it is asked by experiment, and scored by their log odds.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from niah.adapters.hub_repository import CONFIG
from niah.adapters.probabilities import logits_of
from niah.adapters.transformers_files import (
    EXTRACTORS,
    TransformersFiles,
    head_of,
    weights_sha256,
)
from niah.adapters.transformers_length import (
    ANY_LENGTH,
    PROBE_S,
    extracted,
    fixed_seconds,
    hears_end,
    in_one_line,
    longest_input_s,
    to_device,
)
from niah.adapters.transformers_loading import (
    load_extractor,
    load_network,
    rate_of,
    scene_rate_of,
)
from niah.audio.mono import resample
from niah.errors import NiahError
from niah.frontends.waveform import NEEDLE_S
from niah.probabilities import are_probabilities
from niah.system.memory import is_out_of_memory
from niah.vocabularies import Vocabulary

_TONE_HZ = 440


class TransformersBase(ABC):
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
    network: Any

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
        self.own_rate = rate_of(self.extractor, files.name)
        self.sample_rate = scene_rate_of(self.own_rate, files.name)
        self.fixed_seconds = fixed_seconds(self.extractor, self.own_rate)
        self.parameters = 0
        self.kernel = "transformers"
        self.weights_sha256 = self.weights_source = ""

    def waveform_logits(self, waveforms: Tensor) -> Tensor:
        """Compute logits: (B, samples) float32 at `sample_rate` -> (B, classes) float32.

        Raises:
            NiahError: inputs of a length that the network does not take.
        """
        waves = waveforms.cpu().numpy()
        if self.own_rate != self.sample_rate:
            samples = waves.shape[1] * self.own_rate // self.sample_rate
            own = [resample(wave, self.sample_rate, self.own_rate)[:samples] for wave in waves]
            waves = np.stack(own)
        return self._run(self._logits, waves)

    def _run(
        self, compute: Callable[[NDArray[np.float32]], Tensor], waves: NDArray[np.float32]
    ) -> Tensor:
        """Call a function of waveforms (B, samples), which may raise anything.

        Raises:
            NiahError: it raised something else than a shortage of memory.
        """
        try:
            return compute(waves)
        except NiahError:
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise NiahError(
                f"model {self.name} does not take inputs of {waves.shape[1] / self.own_rate:g} s "
                f"({in_one_line(error)}): choose other --lengths, or run it over windows, --window 10"
            ) from error

    @property
    def _runs_own_code(self) -> bool:
        """Return whether the network is of the repository's own code, not of `transformers`."""
        return not type(self.network).__module__.startswith("transformers.")

    @abstractmethod
    def _logits(self, waves: NDArray[np.float32]) -> Tensor:
        """Compute logits: (B, samples) at `own_rate` -> (B, classes) float32; the network may raise anything."""

    def _limit_length(self, files: TransformersFiles) -> None:
        """Set `fixed_seconds` where the network takes less than the extractor gives.

        Raises:
            NiahError: the network takes nothing that the extractor gives.
        """
        # the architectures of `transformers` itself take any length, or their extractor's
        most_s = min(self.fixed_seconds or PROBE_S, PROBE_S if self._runs_own_code else NEEDLE_S)
        try:
            longest_s = longest_input_s(
                lambda wave: self._logits(wave.numpy()), self.own_rate, most_s
            )
        except NiahError as error:
            raise NiahError(
                f"model {files.name}: its network refuses what its feature extractor makes of {most_s:g} s ({error}): "
                f"do {CONFIG} and {EXTRACTORS[0]} belong together?"
            ) from error
        if longest_s is not None:
            self.fixed_seconds = longest_s


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
        self._gives_probabilities = False
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
        self._limit_length(files)
        self._gives_probabilities = self._runs_own_code and are_probabilities(
            self._of_probes().cpu().numpy()
        )
        if self._gives_probabilities:
            self.weights_source += " (its outputs are probabilities, scored by their log odds)"

    def _logits(self, waves: NDArray[np.float32]) -> Tensor:
        """Compute logits.

        Raises:
            NiahError: the feature extractor drops the end of inputs of that length.
        """
        outputs = self._outputs(waves)
        if self._gives_probabilities:
            outputs = torch.from_numpy(logits_of(outputs.cpu().numpy())).to(outputs.device)
        elif self._is_softmax:
            outputs = log_odds(outputs)
        return outputs if self._columns is None else outputs[:, self._columns]

    def _of_probes(self) -> Tensor:
        """Compute the outputs of silence, of noise and of a tone: the same sounds for each model of that length."""
        seconds = min(self.fixed_seconds or NEEDLE_S, NEEDLE_S)
        samples = round(seconds * 100) * (self.own_rate // 100)
        noise = np.random.Generator(np.random.Philox(0)).standard_normal(samples)
        tone = np.sin(2 * np.pi * _TONE_HZ / self.own_rate * np.arange(samples))
        probes = np.stack([np.zeros(samples), 0.1 * noise, 0.5 * tone])
        return self._run(self._outputs, probes.astype(np.float32))

    @torch.inference_mode()
    def _outputs(self, waves: NDArray[np.float32]) -> Tensor:
        """Compute what the network calls logits: (B, samples) -> (B, outputs) float32.

        Raises:
            NiahError: the feature extractor drops the end of inputs of that length.
        """
        self._check_end(waves.shape[1])
        inputs = to_device(extracted(self.extractor, waves, self.own_rate), self)
        logits: Tensor = self.network(**inputs).logits.float()
        if logits.ndim != 2:
            raise NiahError(
                f"model {self.name}: logits {tuple(logits.shape)} are no (clips, classes)"
            )
        return logits

    def _check_end(self, samples: int) -> None:
        """Check once a length that the input's end is not cropped in silence."""
        seconds = samples / self.own_rate
        if type(self.extractor).__name__ in ANY_LENGTH or seconds in self._heard:
            return
        if self.fixed_seconds is not None and seconds <= self.fixed_seconds:
            return
        if not hears_end(self.extractor, samples, self.own_rate):
            raise NiahError(
                f"model {self.name} crops inputs of {seconds:g} s: add --window 10 to run it over windows"
            )
        self._heard.add(seconds)


def describe(model: Any, files: TransformersFiles) -> None:
    """Set what a run records of a loaded model: parameters, checksum, source, and the attention that computes."""
    paths = files.weights()
    model.parameters = sum(each.numel() for each in model.network.parameters())
    model.weights_sha256 = weights_sha256(files, paths)
    model.weights_source = str(paths[0])
    attention = getattr(model.network.config, "_attn_implementation", None)
    model.kernel = f"transformers-{attention}" if attention else "transformers"


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
