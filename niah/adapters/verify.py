"""`niah models verify`: load a checkpoint, check the adapter protocol, and run the model at several lengths."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from niah.adapters.contract import behaviour_problems, part_problems, takes_waveforms
from niah.adapters.importing import import_adapter, make
from niah.adapters.loading import (
    choose_device,
    load_own_weights,
    load_source,
)
from niah.adapters.model_source import ModelRequest, ModelSource
from niah.adapters.network_adapter import NetworkAdapter
from niah.adapters.protocol import INDEXED_BY_32_BITS, largest
from niah.adapters.sources import find_source
from niah.adapters.waveform import WaveformAdapter, window_s
from niah.adapters.wrappers.sliding_window import SlidingWindow
from niah.errors import NiahError
from niah.placement import FRAMES_PER_SECOND, total_frames
from niah.probabilities import are_probabilities
from niah.system.memory import PeakMemory, free_cached, is_out_of_memory

_GIB = 2**30


@dataclass(frozen=True)
class Finding:
    """One result of the check; `met` is False where the protocol is broken."""

    text: str
    met: bool = True

    def __str__(self) -> str:
        return self.text if self.met else f"not met: {self.text}"


def verify(
    name: str,
    checkpoint: str | None,
    lengths_s: Sequence[float],
    device: str,
    request: ModelRequest | None = None,
) -> Iterator[Finding]:
    """Load a model and check it: the weights, the protocol, and each length natively or over windows.

    A model of the package loads strictly or not at all; for a user's adapter or waveform model every problem is listed.

    Args:
        name: a card's name or path, or another of `niah.adapters.sources`.
        checkpoint: None for the card's own weights, "random", or a file.
        lengths_s: lengths to run, in seconds.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        request: the labels and rate of a model without a card.

    Yields:
        The findings, in order.

    Raises:
        NiahError: a length that no scene has, no such model, an adapter that cannot be imported, or weights that do
            not load.
    """
    for length_s in lengths_s:
        total_frames(length_s, needle_frames=1)
    chosen = choose_device(device)
    source = find_source(name, request)
    family = None if source.make else import_adapter(source.card)
    brings_weights = False
    if isinstance(family, type) and issubclass(family, NetworkAdapter):
        adapter: Any = load_source(source, checkpoint, device=str(chosen))
        yield Finding(f"{adapter.name}: loads strictly; {_summary(adapter)}")
    else:
        adapter = _make_own(source, family, chosen)
        loaded = "loads"
        if checkpoint or source.weights:
            load_own_weights(adapter, source.card, source.weights, checkpoint)
        elif hasattr(adapter, "load_checkpoint"):
            loaded = "is made without weights: `niah run` wants [weights.NAME] on the card, or --checkpoint"
        else:
            loaded = "brings its own weights"
            brings_weights = family is not None
        yield Finding(f"{source.card.name} ({source.card.adapter}): {loaded}")
    problems = list(part_problems(adapter, source.labels))
    if takes_waveforms(adapter) and not problems:
        adapter = WaveformAdapter(adapter)
    if not takes_waveforms(adapter):
        problems += behaviour_problems(adapter, chosen)
    yield from (Finding(problem, met=False) for problem in problems)
    if problems:
        return
    if brings_weights and not _is_made_again(adapter, lambda: _make_own(source, family, chosen)):
        yield Finding(
            "made a second time, it gives other logits: its weights are random; load trained ones in __init__, or "
            "write load_checkpoint and name a file in [weights.NAME]",
            met=False,
        )
        return
    yield Finding("protocol: met (parts, shapes, float32, finite, the same again and in a batch)")
    for length_s in lengths_s:
        yield from _check_length(adapter, length_s, chosen)


def _summary(adapter: NetworkAdapter) -> str:
    classes = f"{len(adapter.labels)} classes ({adapter.labels.name})"
    frames = largest(lambda count: adapter.largest_tensor(1, count) <= INDEXED_BY_32_BITS)
    hours = frames / FRAMES_PER_SECOND / 3600
    return (
        f"{adapter.parameters / 1e6:.1f} M parameters; kernel {adapter.kernel}; {classes}; "
        f"no tensor past 2^31 elements up to {frames} frames ({hours:.1f} h)"
    )


def _make_own(source: ModelSource, family: Any, device: torch.device) -> Any:
    """Make a user's adapter or waveform model as the harness makes it."""
    card = source.card
    if source.make is not None:
        return source.make(device, torch.float32)
    return make(family, card, device=device, dtype=torch.float32)


def _is_made_again(adapter: Any, make_again: Callable[[], Any]) -> bool:
    """Return whether a second adapter of the class has the first one's logits of a needle, or of a window of it."""
    other = make_again()
    if takes_waveforms(other):
        other = WaveformAdapter(other)
    frames = adapter.frontend.needle_frames
    if isinstance(adapter, WaveformAdapter):
        frames = min(frames, round(window_s(adapter) * FRAMES_PER_SECOND))
    features = torch.zeros(1, frames, adapter.frontend.mels)
    features[:, ::2] = 0.1
    return bool(
        torch.allclose(adapter.logits(features).cpu(), other.logits(features).cpu(), atol=1e-4)
    )


def _check_length(adapter: Any, length_s: float, device: torch.device) -> Iterator[Finding]:
    """Run the native mode, or the sliding window where there is none."""
    try:
        yield _run_length(adapter, length_s, device)
    except NiahError as error:
        yield Finding(f"{length_s:g} s: no native mode: {error}")
        over_windows = SlidingWindow(adapter, window_s(adapter))
        try:
            finding = _run_length(over_windows, length_s, device)
        except NiahError as refused:
            yield Finding(f"{length_s:g} s, {over_windows.kernel}: {refused}", met=False)
        else:
            yield Finding(f"{over_windows.kernel}, {finding.text}", finding.met)


def _run_length(scorer: Any, length_s: float, device: torch.device) -> Finding:
    """Run one forward pass and describe it, or its failure.

    Raises:
        NiahError: the scorer has no mode for that length.
    """
    try:
        return Finding(f"{length_s:g} s {_time_forward(scorer, length_s, device)}")
    except NiahError:
        raise
    except (Exception, SystemExit) as error:  # a user's model may call sys.exit
        if not is_out_of_memory(error):
            return Finding(f"{length_s:g} s: {type(error).__name__}: {error}", met=False)
        free_cached(device)
        return Finding(f"{length_s:g} s: out of memory")


def _time_forward(scorer: Any, length_s: float, device: torch.device) -> str:
    """Run one forward pass: time, peak memory, range of the logits."""
    frontend = scorer.frontend
    frames = total_frames(length_s, frontend.needle_frames)
    generator = torch.Generator().manual_seed(0)
    features = 0.5 * torch.randn(1, frames, frontend.mels, generator=generator)
    memory = PeakMemory(device)
    begin = time.perf_counter()
    logits = scorer.logits(features).cpu()
    seconds = time.perf_counter() - begin
    if tuple(logits.shape) != (1, len(scorer.labels)):
        raise ValueError(f"logits are {tuple(logits.shape)}")
    if not bool(torch.isfinite(logits).all()):
        raise ValueError("logits hold NaN or infinity")
    doubt = ": are they probabilities?" if are_probabilities(logits.numpy()) else ""
    low, high = float(logits.min()), float(logits.max())
    return (
        f"({frames} frames): {seconds:.2f} s, {length_s / seconds:.0f} x real time, "
        f"{memory.bytes() / _GIB:.2f} GiB at the peak; logits {low:.2f} to {high:.2f}{doubt}"
    )
