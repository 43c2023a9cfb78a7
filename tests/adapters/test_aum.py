"""AuM: the official logits, the design seen in the keys, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import niah
from niah.adapters.aum import Aum
from niah.cards import read_model_card
from niah.errors import NiahError
from niah.networks.aum import Aum as Network
from niah.networks.aum import AumConfig
from niah.networks.layers.mamba_mixer import Design, MambaMixer
from tests.helpers.goldens import load_golden

TOLERANCE = 1e-4
SMALL = AumConfig(width=16, depth=2, classes=10)
CARD = """
name = "mine"
adapter = "niah.adapters.aum:Aum"
labels = "esc-10"
[config]
width = 16
depth = 2
"""


@pytest.fixture
def card(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(CARD)
    return path


def saved(design: Design, folder: Path, change: Callable[[dict[str, Tensor]], object]) -> Path:
    torch.manual_seed(1)
    state = Network(AumConfig(width=16, depth=2, classes=10, design=design)).state_dict()
    change(state)
    path = folder / f"{design}.pth"
    torch.save({f"module.{key}": value for key, value in state.items()}, path)
    return path


@pytest.mark.parametrize("name", ["aum-small", pytest.param("aum-base", marks=pytest.mark.slow)])
def test_logits_are_the_official_ones(tmp_path: Path, name: str) -> None:
    official = load_golden(name)
    file = tmp_path / "best_audio_model.pth"
    torch.save({f"module.{key}": value for key, value in official.state.items()}, file)
    adapter = niah.load_model(name, checkpoint=file)
    assert adapter.kernel.startswith("scan-")
    for features, expected in official.cases():
        assert np.abs(adapter.logits(features).numpy() - expected).max() <= TOLERANCE


@pytest.mark.parametrize("design", ["fo-fo", "fo-bi", "bi-bi"])
def test_the_design_is_seen_in_the_keys(tmp_path: Path, card: Path, design: Design) -> None:
    adapter = niah.load_model(card, checkpoint=saved(design, tmp_path, lambda _: None))
    assert isinstance(adapter, Aum)
    assert adapter.network.config.design == design
    torch.manual_seed(1)
    made = Network(AumConfig(width=16, depth=2, classes=10, design=design)).eval()
    x = torch.randn(2, 40, 128)
    with torch.no_grad():
        torch.testing.assert_close(adapter.logits(x), made(x), atol=1e-6, rtol=0)


def without(*endings: str) -> Callable[[dict[str, Tensor]], None]:
    def drop(state: dict[str, Tensor]) -> None:
        for key in [k for k in state if k.endswith(endings)]:
            del state[key]

    return drop


@pytest.mark.parametrize(
    ("design", "asked", "change", "told"),
    [
        ("bi-bi", "fo-bi", without(), 'is Bi-Bi and model .* is Fo-Bi: give a card with design = "bi-bi"'),
        ("fo-bi", "bi-bi", without(), "is Fo-Bi and model .* is Bi-Bi"),
        ("fo-fo", "fo-bi", without(), "is Fo-Fo and model .* is Fo-Bi"),
        ("bi-bi", "auto", without("layers.1.mixer.A_b_log"), r"1 missing \(layers.1.mixer.A_b_log\)"),
        ("bi-bi", "auto", without("D_b"), "2 missing"),
        (
            "bi-bi",
            "auto",
            without("1.mixer.conv1d_b.weight", "1.mixer.conv1d_b.bias"),
            "no AuM design: layers.0 is Bi-Bi, layers.1 Fo-Bi",
        ),
        ("fo-bi", "auto", without("0.mixer.A_b_log"), "layers.0 is Fo-Fo, layers.1 Fo-Bi"),
        (
            "fo-bi",
            "auto",
            lambda s: s.update({"head.weight": torch.zeros(7, 16), "head.bias": torch.zeros(7)}),
            r"head.weight is \(7, 16\), not \(10, 16\)",
        ),
        (
            "fo-bi",
            "auto",
            lambda s: s.update({"pos_embed.pos_embed": torch.zeros(1, 12, 16)}),
            r"pos_embed is \(1, 12, 16\), not \(1, 513, 16\)",
        ),
        ("fo-fo", "auto", lambda s: s.clear() or s.update(x=torch.zeros(1)), "no AuM"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(
    tmp_path: Path,
    card: Path,
    design: Design,
    asked: str,
    change: Callable[[dict[str, Tensor]], object],
    told: str,
) -> None:
    card.write_text(CARD + f'design = "{asked}"\n')
    with pytest.raises(NiahError, match=told):
        niah.load_model(card, checkpoint=saved(design, tmp_path, change))


def test_a_design_that_is_none_is_told_as_the_cards_fault(card: Path) -> None:
    card.write_text(CARD + 'design = "fo-fum"\n')
    with pytest.raises(NiahError, match=r"mine.toml: \[config\] does not fit .* 'fo-fum' is none"):
        niah.load_model(card, checkpoint="random")


def test_a_checkpoint_of_another_trained_length_brings_its_table(
    tmp_path: Path, card: Path
) -> None:
    def one_second(state: dict[str, Tensor]) -> None:
        state["pos_embed.pos_embed"] = torch.randn(1, 1 + 8 * 8, 16)

    adapter = niah.load_model(card, checkpoint=saved("fo-bi", tmp_path, one_second))
    assert isinstance(adapter, Aum)
    assert adapter.network.config.trained_frames == 128
    assert adapter.logits(torch.randn(1, 128, 128)).shape == (1, 10)


@pytest.mark.parametrize("frames", [16, 500, 1024, 1039, 2000])
def test_the_class_token_stands_in_the_middle_of_frequency_major_patches(frames: int) -> None:
    network = Network(SMALL)
    x = torch.randn(2, frames, 128)
    tokens, middle = network.embed(x)
    columns = frames // 16
    table = network.pos_embed.pos_embed[0]
    assert tokens.shape == (2, 1 + 8 * columns, 16)
    assert middle == 4 * columns
    torch.testing.assert_close(tokens[1, middle], network.cls_token[0, 0] + table[0])
    for row, column in ((0, 0), (3, columns - 1), (4, 0), (7, columns // 2)):
        patch = x[1, 16 * column : 16 * column + 16, 16 * row : 16 * row + 16].T
        expected = (network.patch_embed.proj.weight[:, 0] * patch).sum((1, 2))
        assert network.patch_embed.proj.bias is not None
        expected = expected + network.patch_embed.proj.bias
        place = row * columns + column
        if columns == 64:
            expected = expected + table[1 + place]
        token = tokens[1, place + (place >= middle)]
        if columns == 64:
            torch.testing.assert_close(token, expected, atol=1e-5, rtol=0)
        else:
            assert float((token - expected).detach().abs().max()) < 0.2  # positions are small


@pytest.mark.parametrize("design", ["fo-fo", "fo-bi", "bi-bi"])
def test_tiles_change_no_logits(design: Design) -> None:
    torch.manual_seed(0)
    network = Network(AumConfig(width=16, depth=3, classes=10, design=design)).eval()
    network.requires_grad_(False)
    x = torch.randn(3, 1999, 128)
    with torch.no_grad():
        whole = network(x)
        for module in network.modules():
            if isinstance(module, MambaMixer):
                module.tile = 97
        torch.testing.assert_close(network(x), whole, atol=1e-6, rtol=0)


def test_cards_say_the_designs_of_the_released_files() -> None:
    folder = Path(niah.__file__).parent.parent / "models"
    designs = {
        name: read_model_card(folder / f"aum-{name}.toml").config["design"]
        for name in ("base", "small", "tiny", "tiny-fobi", "tiny-fofo")
    }
    assert designs == {
        "base": "fo-bi",
        "small": "bi-bi",
        "tiny": "auto",
        "tiny-fobi": "fo-bi",
        "tiny-fofo": "fo-fo",
    }
