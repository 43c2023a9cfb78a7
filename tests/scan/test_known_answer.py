"""Before a compiled scan trains, its gradients are compared with known ones; a wrong one is not trained with."""

from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton")

from niah.scan import cross_scan, selective_scan
from niah.scan.triton import cross, cross_backward, known_answer, sequence, sequence_backward

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture(autouse=True)
def as_if_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_answer, "interpreted", lambda: False)
    monkeypatch.setattr(known_answer, "_answered", {})
    if DEVICE == "cpu":  # where the interpreter is slow
        monkeypatch.setattr(known_answer, "LINES", (1,))
        monkeypatch.setattr(known_answer, "LANES", 2)


def map_inputs(dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """A small map with parameters in float32, as under autocast."""
    draw = known_answer._Draw(torch.device(DEVICE))
    maps = draw(1, 2, 1, 2, dtype=dtype), draw(1, 2, 1, 4, 4, dtype=dtype)
    rest = draw(4, 2, 2), draw(4, 2) - 3, -draw(4, 2).abs(), draw(4, 2)
    return [x.requires_grad_() for x in (*maps, *rest)]


def sequence_inputs() -> list[Tensor]:
    draw = known_answer._Draw(torch.device(DEVICE))
    wide = [draw(1, 5, width) for width in (3, 3, 2, 2)]
    rest = -draw(3, 2).abs(), draw(3), draw(1, 3, 2)
    return [x.requires_grad_() for x in (*wide, *rest)]


def gradients(y: Tensor, inputs: list[Tensor]) -> tuple[Tensor, ...]:
    return torch.autograd.grad(y.float().square().sum(), inputs)


def test_a_right_scan_is_asked_once_and_trains(
    monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    asked: list[float] = []
    error = known_answer.relative_error

    def noted(*arguments: Any) -> float:
        asked.append(error(*arguments))
        return asked[-1]

    monkeypatch.setattr(known_answer, "relative_error", noted)
    before = torch.get_rng_state()
    for _ in range(2):
        inputs = map_inputs(torch.bfloat16)
        y = cross_scan(*inputs, backend="triton")
    gradients(y, inputs)
    cross_scan(*(x.detach() for x in inputs), backend="triton")  # does not train
    assert torch.equal(torch.get_rng_state(), before)
    (error_of_16_bits,) = asked
    assert error_of_16_bits < 1e-2
    assert not any("wrongly" in str(each.message) for each in recwarn.list)


def test_a_map_scan_with_one_wrong_gradient_does_not_train(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = 2  # that of the step projection
    right = cross_backward.gradients

    def miscompiled(*arguments: Any) -> tuple[Tensor, ...]:
        found = right(*arguments)
        return tuple(g * (1.1 if i == wrong else 1) for i, g in enumerate(found))

    monkeypatch.setattr(cross, "gradients", miscompiled)
    inputs = map_inputs(torch.bfloat16)
    with pytest.warns(RuntimeWarning, match=r"compiles this scan wrongly .* error 0\.[01]"):
        y = cross_scan(*inputs, backend="triton")
    wanted = gradients(cross_scan(*inputs, backend="chunked"), inputs)
    for one, other in zip(gradients(y, inputs), wanted, strict=True):
        assert torch.equal(one, other)


def test_a_sequence_scan_that_gives_nan_does_not_train(monkeypatch: pytest.MonkeyPatch) -> None:
    right = sequence_backward.gradients

    def miscompiled(*arguments: Any) -> tuple[Tensor, ...]:
        found = right(*arguments)
        return (found[0] * float("nan"), *found[1:])

    monkeypatch.setattr(sequence, "gradients", miscompiled)
    *inputs, state = sequence_inputs()
    with pytest.warns(RuntimeWarning, match="relative error inf"):
        y = selective_scan(*inputs, initial_state=state, backend="triton")
    wanted = gradients(selective_scan(*inputs, initial_state=state, backend="chunked"), inputs)
    for one, other in zip(gradients(y, inputs), wanted, strict=True):
        torch.testing.assert_close(one, other)
