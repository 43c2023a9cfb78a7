"""Recipes: those that are shipped, wrong ones, and settings over them."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from niah.cards import cards_folder, find_model
from niah.errors import NiahError
from niah.training.command import train_recipe, trained_card
from niah.training.recipes import read_recipe, with_settings
from niah.vocabularies import vocabulary
from tests.helpers.tiny_training import recipe


@pytest.mark.parametrize("path", sorted(cards_folder("models").glob("recipes/*.toml")))
def test_every_shipped_recipe_parses(path: Path) -> None:
    assert read_recipe(path.stem).name == path.stem


@pytest.mark.parametrize("path", sorted(cards_folder("models").glob("recipes/*.toml")))
def test_every_shipped_recipe_names_models_that_fit(path: Path) -> None:
    """Model, start and teacher are of one family and have the same labels."""
    recipe = read_recipe(path.stem)
    card = trained_card(recipe)
    labels = vocabulary(card.labels_source)
    for teacher in set(recipe.teacher) - {"ema"}:
        assert vocabulary(find_model(teacher)[0].labels_source).ids == labels.ids
    if recipe.start not in ("", "imagenet"):
        start, weights = find_model(recipe.start)
        assert weights
        assert start.adapter == card.adapter
        # a causal network takes over another's forward scan
        differ = {"causal", "design"} if card.config.get("causal") else set()
        assert _without(start.config, differ) == _without(card.config, differ)


def _without(config: Mapping[str, object], names: set[str]) -> dict[str, object]:
    return {name: value for name, value in config.items() if name not in names}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("epoch = 3", "unknown key 'epoch'. Did you mean 'epochs'"),
        ("epochs = 'three'", "key 'epochs' must be int, got 'three'"),
        ("epochs = 0", "epochs must be 1 or more, got 0"),
        ("batch_size = 0", "batch_size must be 1 or more, got 0"),
        ("roll = 1", "key 'roll' must be bool, got 1"),
        ("learning_rate = 0", "learning_rate must be above 0"),
        ("schedule = 'cosin'", "unknown schedule 'cosin'. Did you mean 'cosine'"),
        ("milestones = ['two']", "milestones must be whole epochs"),
        ("average_last = 11", "average_last must be 1 to epochs, got 11"),
        ("mixup_rate = 1.5", "mixup_rate must be 0 to 1"),
        ("epochs = ", "is not valid TOML"),
    ],
)
def test_what_is_wrong_in_a_recipe_is_told(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f'model = "m"\ntrain = "t"\nvalidation = "v"\n{line}\n')
    with pytest.raises(NiahError, match=message):
        read_recipe(path)


def test_a_recipe_without_a_model_or_clips_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('train = "t"\n')
    with pytest.raises(NiahError, match="key 'model' is missing"):
        read_recipe(path)
    with pytest.raises(NiahError, match="'as20k-dass-small' names no clips: give --train MANIFEST"):
        train_recipe("as20k-dass-small", tmp_path / "out", train="t.csv", device="cpu")


def test_settings_replace_keys() -> None:
    changed = with_settings(recipe(), ["epochs=3", "learning_rate=1e-4", "model=dass-nano"])
    assert (changed.epochs, changed.learning_rate, changed.model) == (3, 1e-4, "dass-nano")
    nested = with_settings(recipe(config={"depth": 2}), ["config.width=8", "teacher=ast"])
    assert (nested.config, nested.teacher) == ({"depth": 2, "width": 8}, ("ast",))
    for setting, message in (("epoch=3", "--set: unknown key 'epoch'"), ("epochs", "key=value")):
        with pytest.raises(NiahError, match=message):
            with_settings(recipe(), [setting])


@pytest.mark.parametrize(
    "setting",
    [
        "clip_gradient=-1",
        "clip_gradient=nan",
        "weight_decay=-0.5",
        "weight_decay=nan",
        "warmup_steps=-5",
        "frequency_mask=-3",
        "time_mask=-1",
        "milestones=[-1,0]",
        "gain_db=nan",
        "gain_db=-1",
        "seed=18446744073709551",
        "head_bias=1e300",
    ],
)
def test_values_out_of_any_range_name_their_key(setting: str) -> None:
    key = setting.partition("=")[0]
    with pytest.raises(NiahError, match=f"{key} must be"):
        with_settings(read_recipe("dass-nano"), [setting])
