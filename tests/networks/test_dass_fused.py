"""The fused pass of DASS against the network as it is written, in Triton's interpreter where there is no device."""

import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("triton")

from niah.networks.dass import fused, fused_kernels
from niah.networks.dass.blocks import SS2D, convolve
from niah.networks.dass.first_halving import fits
from niah.networks.dass.linear_gelu import linear_gelu
from niah.networks.dass.network import DassConfig
from niah.networks.dass.tiled import TiledDass
from niah.networks.dass.windows import Windowed
from niah.networks.layers.mlp import Mlp
from niah.scan.triton.steps import interpreted

if not interpreted() and not torch.cuda.is_available():
    pytest.skip("triton was imported before tests/conftest.py", allow_module_level=True)

DEVICE = "cpu" if interpreted() else "cuda"
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}


def network(classes: int = 5) -> TiledDass:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = TiledDass(DassConfig(depths=(1,), dims=(8,), stem=(4, 8), classes=classes))
    for parameter in made.parameters():
        if parameter.ndim > 1:
            parameter.data *= 3  # so that everything matters
    return made.eval().requires_grad_(False)


def features(batch: int = 2) -> Tensor:
    return torch.randn(batch, 24, 8, generator=torch.Generator().manual_seed(1))


def close(found: Tensor, truth: Tensor, tolerance: float) -> None:
    assert float((found.cpu() - truth).abs().max() / truth.abs().max()) < tolerance


@pytest.mark.parametrize(
    ("hidden", "dtype"), [(1 << 25, torch.float32), (128, torch.float32), (128, torch.bfloat16)]
)
def test_equals_the_network_as_written(
    hidden: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With small slabs every block is cut within items, and columns meet across the cuts."""
    made, x = network(), features()
    truth = made.whole(x)
    monkeypatch.setattr(fused, "HIDDEN", hidden)
    made.to(DEVICE, dtype).set_scan_backend("triton")
    with torch.inference_mode():
        close(made(x.to(DEVICE, dtype)).float(), truth, TOLERANCE[dtype])


def added(weight: torch.Tensor) -> None:
    with torch.no_grad():
        weight.add_(1.0)


def stepped(weight: torch.Tensor) -> None:
    weight.grad = torch.ones_like(weight)
    torch.optim.AdamW([weight], lr=0.5, fused=True).step()


def test_weights_that_changed_are_prepared_again() -> None:
    made, x = network(), features(1).to(DEVICE)
    made.to(DEVICE).set_scan_backend("triton")
    scans = next(module for module in made.modules() if isinstance(module, SS2D))
    with torch.no_grad():
        before = made(x)
    for change in (added, stepped):
        change(scans.x_proj_weight)
        with torch.no_grad():
            changed = made(x)
            truth = made.whole(x)
        assert not torch.equal(before, changed)
        close(changed, truth.cpu(), TOLERANCE[torch.float32])
        before = changed


def test_autocast_is_left_to_torch() -> None:
    made, x = network(), features(1)
    truth = made.whole(x)
    made.to(DEVICE).set_scan_backend("triton")
    with torch.inference_mode(), torch.autocast(DEVICE, torch.bfloat16):
        close(made(x.to(DEVICE)).float(), truth, 3e-2)


@pytest.mark.parametrize("channels", [3, 96])
@pytest.mark.parametrize("with_bias", [False, True])
def test_layer_norm_is_torchs(channels: int, with_bias: bool) -> None:
    x = torch.randn(7, channels, device=DEVICE)
    norm = nn.LayerNorm(channels, device=DEVICE)
    norm.weight.data.normal_(), norm.bias.data.normal_()
    bias, more = (torch.randn(channels, device=DEVICE) for _ in range(2))
    before = bias if with_bias else None
    truth = norm(x + bias if with_bias else x).detach()
    after = x + more
    found = fused_kernels.layer_norm(
        x, norm.weight, norm.bias, norm.eps, before=before, add=None if with_bias else more
    )
    torch.testing.assert_close(found, truth, atol=2e-6, rtol=2e-6)
    if not with_bias:
        torch.testing.assert_close(x, after)


@pytest.mark.parametrize("first", [0, 1])
def test_depthwise_convolution_is_torchs(first: int) -> None:
    """A window of columns with its neighbours, and at the end of the map without."""
    v, kernel = torch.randn(2, 6, 3, 5), torch.randn(5, 1, 3, 3)
    whole = nn.functional.conv2d(v.permute(0, 3, 1, 2), kernel, padding=1, groups=5)
    truth = nn.functional.silu(whole).permute(0, 2, 3, 1)[:, first : first + 4]
    u = torch.full((2, 4, 3, 5), torch.nan, device=DEVICE)
    taps = kernel.flatten(1).t().contiguous().to(DEVICE)
    fused_kernels.depthwise_silu(v.to(DEVICE), taps, u, first)
    torch.testing.assert_close(u.cpu(), truth, atol=1e-5, rtol=1e-5)


def first_layers(channels: int) -> list[nn.Module]:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        conv = nn.Conv2d(1, channels, 3, stride=2, padding=1)
        norm = nn.LayerNorm(channels)
    norm.weight.data.normal_(), norm.bias.data.normal_()
    return [conv, norm, nn.GELU()]


def as_written(layers: list[nn.Module], x: Tensor) -> Tensor:
    conv, norm, activation = layers
    assert isinstance(conv, nn.Conv2d)
    out: Tensor = activation(norm(convolve(x, conv)))
    return out


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.bfloat16, 2e-2), (torch.float16, 2e-3)]
)
@pytest.mark.parametrize(
    ("columns", "mels", "channels"), [(11, 7, 5), (12, 8, 48), (1, 1, 1), (5, 8, 300)]
)
def test_the_first_halving_is_torchs(
    columns: int, mels: int, channels: int, dtype: torch.dtype, tolerance: float
) -> None:
    """A whole map and each window of it: zeros precede the first column, and the last one reads past the map's end."""
    layers = first_layers(channels)
    assert fits([*layers, nn.Identity()])
    x = torch.randn(2, columns, mels, 1, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        truth = as_written(layers, x.to(dtype).float())
    on_device = [layer.to(DEVICE, dtype).requires_grad_(False) for layer in layers]
    stack = Windowed(on_device, fused=True)
    whole = truth.shape[1]
    for first in range(whole):
        for last in range(first + 1, whole + 1):
            low, high = stack.needs(first, last, columns)
            made = stack.window(x[:, low:high].to(DEVICE, dtype), first, last, columns)
            close(made.float(), truth[:, first:last], tolerance)


@pytest.mark.parametrize(
    "layers",
    [
        [nn.Conv2d(1, 8, 8, stride=8), nn.LayerNorm(8), nn.GELU()],
        [nn.Conv2d(2, 8, 3, stride=2, padding=1), nn.LayerNorm(8), nn.GELU()],
        [nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.LayerNorm(8), nn.GELU("tanh")],
        [nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.LayerNorm(8)],
    ],
)
def test_other_layers_are_left_to_torch(layers: list[nn.Module]) -> None:
    assert not fits(layers)


def test_biases_wait_for_the_last_block_of_a_stage() -> None:
    """The map behind a stage has them all, however large they are."""
    made = TiledDass(DassConfig(depths=(3, 1), dims=(8, 16), stem=(4, 8), classes=5)).eval()
    for module in made.modules():
        if isinstance(module, Mlp):
            nn.init.normal_(module.fc2.bias, std=3.0)
    x = features(1)
    with torch.no_grad():
        truth = made.whole(x)
        made.to(DEVICE).set_scan_backend("triton")
        close(made(x.to(DEVICE)), truth, TOLERANCE[torch.float32])


RTOL, ATOL = 2**-11 + 2.5e-4, 3.4e-5  # float16's rounding, and GELU's polynomial


@pytest.mark.parametrize("inner", [8, 96, 64])
def test_a_linear_layer_with_gelu_is_torchs(inner: int) -> None:
    x, weight, bias = torch.randn(130, inner), torch.randn(136, inner) / 8, torch.randn(136)
    x, weight, bias = (value.to(DEVICE, torch.float16) for value in (x, weight, bias))
    truth = nn.functional.gelu(nn.functional.linear(x.float(), weight.float(), bias.float()))
    found = linear_gelu(x, weight, bias).float()
    torch.testing.assert_close(found, truth, rtol=RTOL, atol=ATOL)


def test_gelu_is_right_on_the_whole_line() -> None:
    z = torch.cat([torch.linspace(-9, 9, 3001), torch.tensor([-6e4, -100.0, 100.0, 6e4])])
    z = z.to(DEVICE, torch.float16)
    x = nn.functional.pad(z[:, None], (0, 15))
    found = linear_gelu(x, torch.ones_like(x[:16]), torch.zeros_like(z[:16]))[:, 0].float()
    truth = nn.functional.gelu(z.float())
    torch.testing.assert_close(found, truth, rtol=RTOL, atol=ATOL)


@pytest.mark.gpu
@pytest.mark.parametrize("model", ["dass-small", "ast-sin-nano"])
def test_a_graph_gives_the_same_bits(model: str) -> None:
    from niah.adapters.loading import load_model

    adapter = load_model(model, "random", device="cuda", dtype="bfloat16")
    frames, mels = adapter.frontend.needle_frames, adapter.frontend.mels
    inputs = [
        torch.randn(2, frames, mels, generator=torch.Generator().manual_seed(i)) for i in (0, 1)
    ]
    first = [adapter.logits(x) for x in inputs]
    again = [adapter.logits(x) for _ in range(2) for x in inputs]
    assert len(adapter._graphed._graphs) == 1  # type: ignore[attr-defined]
    for one, other in zip(first * 2, again, strict=True):
        assert torch.equal(one, other)
