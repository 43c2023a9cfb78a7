"""The wrapper of the official CUDA scan: its layouts, against a stand-in with the package's signature.

Where mamba-ssm itself is installed, on a CUDA device, the same is asked of the real one (mark `gpu`).
"""

import sys
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import softplus

from niah.errors import NiahError
from niah.scan import cross_scan, reference, selective_scan
from tests.test_scan import arguments, relative_error

sequence: Any = selective_scan


def stand_in(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    return_last_state: bool = False,
) -> Any:
    """(batch, channels, L) in and out, B and C (batch, N, L); written from the package's documentation."""
    assert z is None
    assert u.is_contiguous()
    assert u.shape == delta.shape
    delta = delta.float() + (0 if delta_bias is None else delta_bias[:, None])
    delta = softplus(delta) if delta_softplus else delta
    h = torch.zeros(*u.shape[:2], A.shape[1], dtype=torch.float64)
    y = torch.empty_like(u)
    for t in range(u.shape[2]):
        now = delta[:, :, t, None].double()
        h = torch.exp(now * A) * h + now * B[:, None, :, t] * u[:, :, t, None]
        y[:, :, t] = (h * C[:, None, :, t]).sum(-1) + D * u[:, :, t]
    return (y, h.float()) if return_last_state else y


@pytest.fixture
def official(monkeypatch: pytest.MonkeyPatch) -> None:
    interface = ModuleType("mamba_ssm.ops.selective_scan_interface")
    interface.selective_scan_fn = stand_in  # type: ignore[attr-defined]
    for name in ("mamba_ssm", "mamba_ssm.ops"):
        package = ModuleType(name)
        package.__path__ = []
        monkeypatch.setitem(sys.modules, name, package)
    monkeypatch.setitem(sys.modules, interface.__name__, interface)
    return


def states(reverse: bool, initial: bool) -> tuple[list[Tensor], dict[str, Any]]:
    generator = torch.Generator().manual_seed(0)
    sizes = [(2, 300, 5), (2, 300, 5), (2, 300, 3), (2, 300, 3), (5, 3), (5,)]
    args = [torch.randn(*size, generator=generator) for size in sizes]
    args[1] -= 4
    args[4] = -args[4].abs() / 10 - 1e-3
    first = torch.randn(2, 5, 3, generator=generator) if initial else None
    return args, {"reverse": reverse, "initial_state": first, "return_state": True}


@pytest.mark.usefixtures("official")
@pytest.mark.parametrize("shape", [(1, 1, 1, 1, 1), (2, 5, 3, 4, 2)])
def test_a_map_is_laid_out_as_it_wants(shape: tuple[int, ...]) -> None:
    args = arguments(shape)
    expected = cross_scan(*(x.double() for x in args), backend="reference")
    assert relative_error(cross_scan(*args, backend="mamba_ssm").double(), expected) < 1e-6


@pytest.mark.usefixtures("official")
@pytest.mark.parametrize("initial", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_sequence_goes_on_from_any_state(reverse: bool, initial: bool) -> None:
    """300 steps: the initial state's part is made in more than one piece."""
    args, options = states(reverse, initial)
    found = sequence(*args, **options, backend="mamba_ssm")
    options["initial_state"] = options["initial_state"].double() if initial else None
    expected = sequence(*(x.double() for x in args), **options, backend="reference")
    for one, truth in zip(found, expected, strict=True):
        assert relative_error(one.double(), truth) < 1e-5


@pytest.mark.usefixtures("official")
def test_float16_leaves_as_float32() -> None:
    args = [x.half() for x in arguments((1, 3, 2, 2, 1))]
    assert cross_scan(*args, backend="mamba_ssm").dtype == torch.float32


def test_without_the_package_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mamba_ssm", None)
    with pytest.raises(NiahError, match=r"needs the package mamba-ssm .*audio-niah\[cuda\]"):
        cross_scan(*arguments((1, 1, 1, 1, 1)), backend="mamba_ssm")


@pytest.mark.gpu
@pytest.mark.parametrize("reverse", [False, True])
def test_the_real_one_agrees(reverse: bool) -> None:
    pytest.importorskip("mamba_ssm.ops.selective_scan_interface", reason="needs mamba-ssm")
    args, _ = states(reverse, initial=False)
    found = sequence(*(x.cuda() for x in args), reverse=reverse, backend="mamba_ssm")
    state = torch.zeros(2, 5, 3).double()
    truth: Any = reference.scan_sequence
    expected, _ = truth(*(x.double() for x in args), state, reverse)
    assert relative_error(found.double().cpu(), expected) < 1e-5
