"""The plan: which cells a run has, and what it refuses before anything heavy is imported."""

from pathlib import Path
from typing import Any

import pytest

from niah.cards import ModelCard, read_model_card
from niah.errors import NiahError
from niah.sweep.models import resolve_models, shared_labels
from niah.sweep.options import RunOptions
from niah.sweep.plan import Cell, plan
from niah.sweep.presets import options_of
from niah.sweep.setup import EvalSetup


def cells(**changes: Any) -> list[Cell]:
    options = RunOptions(**{"models": ("dass-nano",), "protocol": "dass-v1", **changes})
    return plan(options, names(options))


def names(options: RunOptions) -> list[str]:
    return [model.name for model in resolve_models(options.models, options.checkpoint)]


def test_the_cells_of_a_small_run() -> None:
    result = cells(
        haystacks=("zero", "gaussian"),
        snrs_db=(0.0, 10.0),
        positions=(0.0, 0.5),
        lengths_s=(10.0, 50.0),
    )
    assert result == [
        Cell("dass-nano", "none", 10.0),
        Cell("dass-nano", "zero", 50.0, None, 0.0),
        Cell("dass-nano", "zero", 50.0, None, 0.5),
        Cell("dass-nano", "gaussian", 50.0, 0.0, 0.0),
        Cell("dass-nano", "gaussian", 50.0, 0.0, 0.5),
        Cell("dass-nano", "gaussian", 50.0, 10.0, 0.0),
        Cell("dass-nano", "gaussian", 50.0, 10.0, 0.5),
    ]


@pytest.mark.parametrize("lengths", [(10.0,), (20.0,), (20.0, 10.0)])
def test_the_needle_alone_is_measured_once_whatever_was_asked(lengths: tuple[float, ...]) -> None:
    result = cells(lengths_s=lengths, haystacks=("zero", "gaussian"), positions=(0.0, 1.0))
    assert [cell for cell in result if cell.is_base] == [result[0]]
    assert len(result) == 1 + (4 if 20.0 in lengths else 0)


def test_what_was_asked_twice_is_done_once() -> None:
    once = cells(lengths_s=(20.0,), haystacks=("gaussian",))
    twice = cells(
        lengths_s=(20.0, 20.0),
        haystacks=("gaussian", "gaussian"),
        snrs_db=(10.0, 10.0),
        positions=(0.5, 0.5),
    )
    assert once == twice


def test_the_shortest_comes_first_and_models_one_by_one() -> None:
    result = cells(models=("dass-nano", "ast-sin-nano"), lengths_s=(100.0, 20.0, 50.0))
    assert [cell.model for cell in result] == sorted((c.model for c in result), reverse=True)
    one = [cell.length_s for cell in result if cell.model == "dass-nano"]
    assert one == sorted(one)


def test_the_shortest_scene_in_each_noise_is_planned_under_the_current_protocol() -> None:
    options: dict[str, Any] = {
        "protocol": "niah-v2.1",
        "haystacks": ("zero", "gaussian"),
        "snrs_db": (0.0, 10.0),
        "lengths_s": (50.0,),
    }
    result = cells(**options)
    noisy = [cell for cell in result if cell.length_s == 10 and not cell.is_base]
    assert noisy == [Cell("dass-nano", "gaussian", 10.0, snr) for snr in (0.0, 10.0)]
    assert [cell for cell in result if cell.is_base] == result[:1]
    assert RunOptions(protocol="niah-v2.1").level == "mix"
    both = cells(**options, level="surround,mix")
    assert [cell.level for cell in both if cell.length_s == 10] == [None, "mix", "mix"]
    for other in ({"level": "surround"}, {"protocol": "niah-v2", "level": "mix"}):
        assert len([c for c in cells(**{**options, **other}) if c.length_s == 10]) == 1


def test_a_preset_of_the_paper_keeps_its_protocol() -> None:
    """niah-v2 is its current version; rows of the older one are made by no new run."""
    (part, *_) = options_of({"preset": "fig4", "models": ("dass-nano",)})
    assert part.protocol == "dass-v1"
    (part,) = options_of({"protocol": "niah-v2"})
    assert (part.protocol, part.level) == ("niah-v2.1", "mix")


def test_a_constant_has_no_snr() -> None:
    result = cells(haystacks=("zero", "silence"), snrs_db=(0.0, 10.0, 20.0), lengths_s=(20.0,))
    assert [cell.snr_db for cell in result] == [None, None, None]


def test_the_default_plan() -> None:
    options = RunOptions()
    assert (options.protocol, options.level) == ("niah-v2.1", "mix")
    assert options.clips_limit == 100
    assert len(plan(options, names(options))) == 3 * (
        1 + 2 + 3 * 3
    )  # 10 s alone, and in two noises


def test_a_needle_set_of_ones_own_is_used_whole() -> None:
    assert RunOptions(needles="mine.csv").clips_limit is None
    assert RunOptions(needles="mine.csv", limit=5).clips_limit == 5
    assert RunOptions(limit=7).clips_limit == 7


def test_cells_are_told_in_words() -> None:
    assert str(Cell("m", "none", 10.0)) == "m, needle alone"
    assert str(Cell("m", "babble", 50.0, 10.0, 0.25)) == "m, babble 10 dB, 50 s, position 0.25"
    assert str(Cell("m", "zero", 50.0, None, 1.0)) == "m, zero, 50 s, position 1"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"protocol": "dass-v2"}, "protocol 'dass-v2': unknown. Did you mean 'dass-v1'"),
        ({"positions": (1.5,)}, "position 1.5"),
        ({"positions": (-0.1,)}, "position -0.1"),
        ({"positions": (float("nan"),)}, "position nan"),
        ({"positions": ()}, "at least one of positions"),
        ({"lengths_s": (5.0,), "protocol": "dass-v1"}, "length 5 s: below 10 s"),
        ({"lengths_s": (10.25,)}, "length 10.25 s: shorter than the needle and 2 frames"),
        ({"lengths_s": (20.001,)}, "whole number of 10 ms frames"),
        ({"lengths_s": (float("inf"),)}, "length inf"),
        ({"lengths_s": (-50.0,)}, "length -50 s"),
        ({"lengths_s": ()}, "at least one of lengths"),
        ({"models": ()}, "at least one of models"),
        ({"haystacks": ()}, "at least one of haystacks"),
        ({"snrs_db": ()}, "at least one of snrs"),
        (
            {"snrs_db": (float("nan"),)},
            "--snr must be a number of decibels from -200 to 200, got nan",
        ),
        ({"limit": 0}, "--limit must be 1 to 10000000, got 0"),
        ({"batch_size": 0}, "--batch-size"),
        ({"window_s": 0.0}, "--window"),
        ({"window_s": float("nan")}, "--window"),
        ({"window_s": float("inf")}, "--window"),
        ({"checkpoint": "x.pth"}, "one file, and there are 3 models"),
    ],
)
def test_refusals(options: dict[str, Any], message: str) -> None:
    with pytest.raises(NiahError, match=message) as caught:
        RunOptions(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("models", "message"),
    [
        (("dass-nan",), "unknown model 'dass-nan'. Did you mean 'dass-nano'"),
        (("dass-small", "dass-small:v1"), "'dass-small' was given twice"),
        (("ast-sine", "ast-sin-base"), "'ast-sin-base' was given twice"),
        (
            ("dass-nano", "dass-small"),
            r"without a common class cannot share a run: dass-nano \(synth",
        ),
    ],
)
def test_models_that_cannot_share_a_run(models: tuple[str, ...], message: str) -> None:
    with pytest.raises(NiahError, match=message):
        shared_labels(resolve_models(models))


def test_rows_name_the_weights_unless_they_are_the_first() -> None:
    models = resolve_models(("dass-small:v3", "dass-small", "ast-sine"))
    assert [model.name for model in models] == ["dass-small:v3", "dass-small", "ast-sin-base"]
    assert [model.weights for model in models] == ["v3", "v1", ""]
    assert models[2].spec == "ast-sine"


def test_random_weights_have_a_name_of_their_own() -> None:
    """A run may hold the same model with trained weights, whose accuracy is reported."""
    (model,) = resolve_models(("dass-small",), "random")
    assert (model.name, model.spec) == ("dass-small:random", "dass-small")


def own_card(folder: Path, name: str) -> str:
    folder.mkdir()
    (folder / "labels.csv").write_text("index,mid,display_name\n0,a,A\n1,b,B\n")
    card = folder / "file.toml"
    card.write_text(f'name = "{name}"\nadapter = "a:B"\nlabels = "labels.csv"\n')
    return str(card)


def test_cards_of_ones_own_are_named_by_themselves(tmp_path: Path) -> None:
    (model,) = resolve_models([own_card(tmp_path / "a", "mine")])
    assert model.name == "mine"


def test_equal_label_files_in_two_folders_are_one_label_set(tmp_path: Path) -> None:
    models = resolve_models([own_card(tmp_path / name, name) for name in ("a", "b")])
    assert shared_labels(models).ids == ("a", "b")


def test_cards_are_read_once_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []

    def counting(path: Path) -> ModelCard:
        read.append(path)
        return read_model_card(path)

    monkeypatch.setattr("niah.cards.read_model_card", counting)
    resolve_models(("dass-nano", "ast-sin-nano", "aum-nano"))
    assert read
    assert len(read) == len(set(read))


def test_a_constant_of_a_card_of_ones_own_has_no_snr_either(tmp_path: Path) -> None:
    """One row, whatever its name, as the package's: nothing is mixed into zeros."""
    card = tmp_path / "zeros.toml"
    lines = (
        'name = "flat"',
        'description = ""',
        'builder = "niah.haystacks:zero"',
        "contains = []",
    )
    card.write_text("\n".join((*lines, 'licence = ""', 'origin = ""')))
    options = RunOptions(
        models=("dass-nano",),
        haystacks=(str(card), "zero", "gaussian"),
        snrs_db=(0.0, 10.0),
        lengths_s=(20.0,),
        controls=("sham",),
        limit=1,
        out=tmp_path / "out",
    )
    planned = EvalSetup(options).cells()
    of = {spec: [c for c in planned if c.haystack == spec] for spec in options.haystacks}
    assert [(c.snr_db, c.control) for c in of[str(card)]] == [(None, None)]
    assert len(of["zero"]) == 1
    assert len(of["gaussian"]) == 6  # 10 s in it, 20 s and its sham, at each SNR
