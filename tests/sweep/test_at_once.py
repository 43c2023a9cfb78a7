"""Passes at once on a CPU: each on one core, the same bits as one after another on all, and only where that holds."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

import niah
from niah.adapters.wrappers.padded import Padded
from niah.scenes.lazy import Scene
from niah.sweep.inference import ALONE, InferenceResult, infer, passes_at_once, runs_in_threads

pytestmark = pytest.mark.usefixtures("two_threads")

CPU = torch.device("cpu")
CLIPS = ALONE + 5


class Rows:
    """Its logits are the first row; `threads` has the number of torch's threads in each pass."""

    labels = range(3)

    def __init__(self, runs_in_threads: bool = True, spoilt: float = 0.0) -> None:
        self.runs_in_threads = runs_in_threads
        self.spoilt = spoilt
        self.threads: list[int] = []

    def logits(self, features: Tensor) -> Tensor:
        self.threads.append(torch.get_num_threads())
        return features[:, 0] + self.spoilt * torch.get_num_threads()


def scenes(frames: int = 5, mels: int = 3) -> Iterator[Scene]:
    for seed in range(CLIPS):
        generator = torch.Generator().manual_seed(seed)
        yield Scene.of_rows(torch.randn(frames, mels, generator=generator))


def scored(adapter: object, frames: int = 5, mels: int = 3, batch: int = 1) -> InferenceResult:
    advanced: list[int] = []
    result = infer(adapter, scenes(frames, mels), batch, CPU, advanced.append)  # type: ignore[arg-type]
    assert sum(advanced) == CLIPS
    return result


@pytest.mark.parametrize("frames", [400, pytest.param(5000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("model", ["dass-nano", "ast-sin-nano", "aum-nano"])
def test_the_logits_are_the_bits_of_one_pass_after_another(
    model: str, frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = niah.load_model(model, device="cpu")
    at_once = scored(adapter, frames, 128)
    monkeypatch.setattr(type(adapter), "runs_in_threads", False)
    assert torch.equal(scored(adapter, frames, 128).logits, at_once.logits)


def test_the_timed_passes_have_all_cores_and_the_rest_one_each() -> None:
    adapter = Rows()
    expected = torch.stack([scene.whole()[0] for scene in scenes()])
    assert torch.equal(scored(adapter).logits, expected)
    # one pass is repeated on one core, to compare its bits
    assert adapter.threads == [2] * ALONE + [1] * (1 + CLIPS - ALONE)
    assert torch.get_num_threads() == 2
    adapter.threads.clear()
    assert torch.equal(scored(adapter).logits, expected)
    assert adapter.threads == [2] * ALONE + [1] * (CLIPS - ALONE)  # of the same shape: once


def test_the_last_batch_may_be_smaller() -> None:
    expected = torch.stack([scene.whole()[0] for scene in scenes()])
    assert torch.equal(scored(Rows(), batch=2).logits, expected)


def test_passes_stay_one_after_another_where_threads_or_bits_forbid_it() -> None:
    batch, scale = torch.randn(1, 5, 3), 2**60
    for adapter in (Rows(runs_in_threads=False), Rows(spoilt=1.0), object()):
        logits = adapter.logits(batch) if isinstance(adapter, Rows) else batch[:, 0]
        assert passes_at_once(adapter, batch, logits, 0) == 1  # type: ignore[arg-type]
    alone = Rows()
    assert passes_at_once(alone, batch, alone.logits(batch), 0) == 2  # type: ignore[arg-type]
    assert passes_at_once(alone, batch, alone.logits(batch), scale) == 1  # type: ignore[arg-type]
    torch.set_num_threads(1)
    assert passes_at_once(alone, batch, alone.logits(batch), 0) == 1  # type: ignore[arg-type]


def test_a_padded_model_runs_as_its_own() -> None:
    model = niah.load_model("dass-nano", device="cpu")
    assert runs_in_threads(Padded(model))


def test_an_error_ends_the_work_that_has_begun() -> None:
    class Fails(Rows):
        def logits(self, features: Tensor) -> Tensor:
            out = super().logits(features)
            if len(self.threads) >= ALONE + 4:  # two threads may count at once
                raise RuntimeError("pass fails")
            return out

    with pytest.raises(RuntimeError, match="pass fails"):
        scored(Fails())
