"""The Mamba mixer against a plain float64 loop that flips copies as the official code does, and its tiles."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import silu, softplus

from niah.networks.layers.mamba_mixer import STATES, Design, MambaMixer, largest_of_mixer, normed
from tests.helpers.largest import LargestTensor

DESIGNS: tuple[Design, ...] = ("fo-fo", "fo-bi", "bi-bi")
WIDTH = 6


def mixer_of(design: Design) -> MambaMixer:
    torch.manual_seed(sum(map(ord, design)))
    mixer = MambaMixer(WIDTH, design)
    with torch.no_grad():
        for parameter in mixer.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    mixer.backend = "reference"
    return mixer.double().eval().requires_grad_(False)


def naive(mixer: MambaMixer, h: Tensor) -> Tensor:
    """By Vim's `mamba_simple.py`: one clip (L, D), a step and a tap at a time, flips where the official code flips."""
    state = dict(mixer.named_parameters())
    xz = h @ state["in_proj.weight"].T
    x, z = xz.chunk(2, dim=-1)

    def features(x: Tensor, suffix: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        c = torch.zeros_like(x)
        for t in range(len(x)):
            for tap in range(4):
                if t - 3 + tap >= 0:
                    c[t] += state[f"conv1d{suffix}.weight"][:, 0, tap] * x[t - 3 + tap]
        c = silu(c + state[f"conv1d{suffix}.bias"])
        p = c @ state[f"x_proj{suffix}.weight"].T
        rank = p.shape[-1] - 2 * STATES
        dt = p[:, :rank] @ state[f"dt_proj{suffix}.weight"].T + state[f"dt_proj{suffix}.bias"]
        return c, softplus(dt), p[:, rank : rank + STATES], p[:, rank + STATES :]

    def scan(
        c: Tensor, dt: Tensor, B: Tensor, C: Tensor, A_log: Tensor, D: Tensor, z: Tensor
    ) -> Tensor:
        s, y = torch.zeros_like(A_log), torch.zeros_like(c)
        for t in range(len(c)):
            s = torch.exp(dt[t, :, None] * -A_log.exp()) * s + (dt[t] * c[t])[:, None] * B[t]
            y[t] = s @ C[t] + D * c[t]
        return y * silu(z)

    c, dt, B, C = features(x, "")
    y = scan(c, dt, B, C, state["A_log"], state["D"], z)
    if mixer.design == "fo-bi":
        c, dt, B, C, from_end = (each.flip(0) for each in (c, dt, B, C, z))
        y = y + scan(c, dt, B, C, state["A_b_log"], state["D"], from_end).flip(0)
    if mixer.design == "bi-bi":
        c, dt, B, C = features(x.flip(0), "_b")
        y = (y + scan(c, dt, B, C, state["A_b_log"], state["D_b"], z.flip(0)).flip(0)) / 2
    return y @ state["out_proj.weight"].T


@pytest.mark.parametrize("length", [1, 2, 4, 19])
@pytest.mark.parametrize("design", DESIGNS)
def test_the_mixer_is_the_official_recurrence(design: Design, length: int) -> None:
    mixer = mixer_of(design)
    h = torch.randn(2, length, WIDTH, dtype=torch.float64)
    found = mixer(h.clone())
    from_end = mixer(h.clone(), from_end=True)
    for clip in range(2):
        torch.testing.assert_close(found[clip], naive(mixer, h[clip]), atol=1e-12, rtol=0)
        flipped = naive(mixer, h[clip].flip(0)).flip(0)
        torch.testing.assert_close(from_end[clip], flipped, atol=1e-12, rtol=0)


@pytest.mark.parametrize("from_end", [False, True])
@pytest.mark.parametrize("tile", [3, 4, 5, 18, 19])
@pytest.mark.parametrize("design", DESIGNS)
def test_tiles_change_nothing(design: Design, tile: int, from_end: bool) -> None:
    mixer = mixer_of(design)
    h = torch.randn(3, 19, WIDTH, dtype=torch.float64)
    whole = mixer(h.clone(), from_end)
    mixer.tile = tile
    with torch.no_grad():
        by_tiles = mixer(h.clone(), from_end)
    torch.testing.assert_close(by_tiles, whole, atol=1e-13, rtol=0)


@pytest.mark.parametrize("place", [0, 7, 18])
@pytest.mark.parametrize("tile", [3, 19])
@pytest.mark.parametrize("design", DESIGNS)
def test_one_token_is_that_of_all(design: Design, tile: int, place: int) -> None:
    mixer = mixer_of(design)
    h = torch.randn(3, 19, WIDTH, dtype=torch.float64)
    whole = mixer(h.clone())
    mixer.tile = tile
    with torch.no_grad():
        torch.testing.assert_close(mixer.at(h, place), whole[:, place], atol=1e-13, rtol=0)


@pytest.mark.parametrize("design", DESIGNS)
def test_one_token_has_the_bits_that_it_has_among_all(design: Design) -> None:
    mixer = MambaMixer(128, design).requires_grad_(False)
    h = torch.randn(1, 800, 128)
    assert torch.equal(mixer.at(h, 400), mixer(h.clone())[:, 400])


@pytest.mark.parametrize("design", DESIGNS)
def test_gradients_take_the_whole_sequence_and_leave_the_input(design: Design) -> None:
    mixer = mixer_of(design).requires_grad_(True)
    mixer.tile = 2
    h = torch.randn(1, 7, WIDTH, dtype=torch.float64, requires_grad=True)
    before = h.detach().clone()
    mixer(h).square().sum().backward()
    assert h.grad is not None
    assert torch.equal(h.detach(), before)
    assert all(p.grad is not None and bool(p.grad.any()) for p in mixer.parameters())
    step = 1e-6 * torch.randn_like(before)
    with torch.no_grad():
        mixer.tile = 100
        up, down = (mixer(x).square().sum() for x in (before + step, before - step))
    assert float((up - down) / 2) == pytest.approx(float((h.grad * step).sum()), rel=1e-6)


@pytest.mark.parametrize("norm", [torch.nn.LayerNorm(WIDTH), torch.nn.RMSNorm(WIDTH, eps=1e-5)])
def test_a_float16_network_normalises_what_float16_cannot_hold(norm: torch.nn.LayerNorm) -> None:
    residual = 1e6 * torch.randn(2, 3, WIDTH)
    expected = norm(residual)
    found = normed(norm.half(), residual)
    assert found.dtype == torch.float16
    torch.testing.assert_close(found.float(), expected, atol=2e-3, rtol=0)
    norm.float()


def test_no_tensor_is_larger_than_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("niah.networks.layers.mamba_mixer.TILE_ELEMENTS", 32 * 2 * WIDTH)
    for design in DESIGNS:
        for length in (20, 32, 300):
            mixer = mixer_of(design)
            mixer.tile = 32
            with torch.no_grad(), LargestTensor() as largest:
                mixer(torch.randn(1, length, WIDTH, dtype=torch.float64))
            assert (
                largest.elements <= largest_of_mixer(WIDTH, length) + 6 * WIDTH * 2
            )  # the ends' zeros


@pytest.mark.parametrize("tile", [4, 11])
@pytest.mark.parametrize("design", DESIGNS)
def test_the_kernels_of_a_device_give_the_same(design: Design, tile: int) -> None:
    """The convolution's and the scan's, in Triton's interpreter, whole and by tiles, against those of a CPU."""
    pytest.importorskip("triton")
    mixer = MambaMixer(8, design).requires_grad_(False)
    h = torch.randn(2, 11, 8)
    for from_end in (False, True):
        mixer.backend = "cpu"
        expected = mixer(h.clone(), from_end)
        mixer.backend, mixer.tile = "triton", tile
        found = mixer(h.clone(), from_end)
        torch.testing.assert_close(found, expected, atol=1e-6 * float(expected.abs().max()), rtol=0)
