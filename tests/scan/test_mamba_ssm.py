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
from niah.scan.mamba_ssm import check_size
from tests.helpers.scan_inputs import arguments, relative_error

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


@pytest.mark.parametrize(
    ("batch", "channels", "states", "most"),
    [
        (1, 1, 1, 2**31 - 1),
        (1, 96, 1, 22_369_621),  # 96 x 22,369,621 = 2^31 - 32
        (12, 96, 1, 1_864_135),
        (2, 3, 16, 67_108_863),  # B and C are the larger ones
    ],
)
def test_the_most_steps_that_32_bits_index(
    batch: int, channels: int, states: int, most: int
) -> None:
    check_size(batch, channels, states, most)
    with pytest.raises(NiahError, match=r"^the scan 'mamba_ssm' .*--kernel triton[^\n]*$"):
        check_size(batch, channels, states, most + 1)


@pytest.mark.usefixtures("official")
def test_inputs_past_2_to_the_31_elements_are_refused() -> None:
    """Meta tensors: shapes without memory."""

    def made(*sizes: int) -> Tensor:
        return torch.empty(*sizes, device="meta")

    shape, channels, rank = (1, 700_000, 32), 96, 6
    of_map = [made(*shape, channels), made(*shape, 4, rank + 2), made(4, channels, rank)]
    with pytest.raises(NiahError, match=r"1 x 96 x 22400000 elements are past 2\^31"):
        cross_scan(*of_map, *(made(4, channels) for _ in range(3)), backend="mamba_ssm")
    u, B = made(2, 2**20, 1536), made(2, 2**20, 16)
    with pytest.raises(NiahError, match=r"2 x 1536 x 1048576 elements are past 2\^31"):
        sequence(u, u, B, B, made(1536, 16), made(1536), backend="mamba_ssm")


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
