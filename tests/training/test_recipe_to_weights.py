"""`train_recipe`: from a recipe to weights that a run takes."""

import csv
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

import niah
from niah.errors import NiahError
from niah.training.command import train_recipe
from niah.training.initial_weights import start_from
from niah.vocabularies import Vocabulary
from tests.helpers import tiny
from tests.helpers.tiny_training import (
    Material,
    network,
    own_weights,
)

LABELS = Vocabulary("labels", tiny.IDS, tiny.IDS)


def test_what_is_trained_can_be_run(material: Material, tmp_path: Path) -> None:
    weights = train_recipe(str(material.recipe(epochs=25)), tmp_path / "trained", device="cpu")
    assert {file.name for file in (tmp_path / "trained").iterdir()} == {
        "card.toml",
        "labels.csv",
        "log.csv",
        "tensorboard",
        "checkpoint.pt",
        "weights.safetensors",
    }
    table: Any = niah.run(
        models=str(material.card),
        checkpoint=str(weights),
        needles=str(material.clips),
        haystack="zero",
        lengths=[10, 12],
        device="cpu",
        out=tmp_path / "run",
    )
    assert set(table["status"]) == {"ok"}
    last = list(csv.DictReader((tmp_path / "trained" / "log.csv").open()))[-1]
    # training reads float16 features and averages ties alike: the same mAP but for rounding
    base = table.iloc[0].to_dict()
    assert base["mAP"] == pytest.approx(float(last["averaged_mAP"]), abs=0.02)
    assert base["mAP"] > base["chance_mAP"] + 0.2
    again: Any = niah.run(  # the card written beside the weights says it all
        models=str(tmp_path / "trained" / "card.toml"),
        needles=str(material.clips),
        haystack="zero",
        lengths=[10, 12],
        device="cpu",
        out=tmp_path / "again",
    )
    assert again["mAP"].tolist() == table["mAP"].tolist()


def test_a_recipe_may_change_the_cards_labels_and_size(
    material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The labels' path is of the working directory, as that of the clips."""
    monkeypatch.chdir(material.folder)
    labels = Path("other", "Labels.CSV")
    labels.parent.mkdir()
    labels.write_text(Path("labels.csv").read_text() + "3,/t/none,none\n")
    small_recipe = material.recipe("changed", labels=str(labels), epochs=2)
    weights = train_recipe(str(small_recipe), tmp_path, settings=["config.hidden=24"], device="cpu")
    assert load_file(weights)["hidden.weight"].shape == (24, 128)
    assert load_file(weights)["head.weight"].shape == (4, 24)
    with pytest.raises(
        NiahError, match=r"\[config\] of the card and the recipe does not fit .*TinyTagger"
    ):
        train_recipe(str(small_recipe), tmp_path / "no", settings=["config.hiden=24"], device="cpu")
    monkeypatch.chdir("other")  # the card brings its labels along
    adapter = niah.load_model(str(tmp_path / "card.toml"))
    assert len(adapter.labels) == 4


def test_an_adapter_of_ones_own_goes_with_the_trained_card(
    material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The adapter and its neighbour: any folder will do, and cards with equal copies share a run."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    made = tmp_path / "made"
    card = tiny.card(made)
    (made / "trained_width.py").write_text("WIDTH = 8\n")
    (made / "trained_tagger.py").write_text(
        "import trained_width\nfrom tests.helpers import tiny\n\n\n"
        "class Own(tiny.TinyTagger):\n    @staticmethod\n    def build(config, classes):\n"
        "        return tiny.Network(classes, trained_width.WIDTH)\n"
    )
    card.write_text(card.read_text().replace("tests.helpers.tiny:TinyTagger", "trained_tagger:Own"))
    (tmp_path / "elsewhere").mkdir()
    labels = tmp_path / "elsewhere" / "own.csv"
    labels.write_text((made / "labels.csv").read_text())
    small_recipe = str(material.recipe("own", model=str(card), labels=str(labels), epochs=2))
    for out in ("one", "two"):
        train_recipe(small_recipe, tmp_path / out, device="cpu")
    cards = [tmp_path / out / "card.toml" for out in ("one", "two")]
    assert {niah.load_model(str(each)).name for each in cards} == {"one", "two"}
    (tmp_path / "two" / "trained_width.py").write_text("WIDTH = 9\n")
    with pytest.raises(NiahError, match="'trained_tagger' from elsewhere is loaded already"):
        niah.load_model(str(cards[1]))
    shutil.rmtree(made)
    for name in ("trained_tagger", "trained_width"):  # as in another process
        del sys.modules[name]
    assert niah.load_model(str(cards[0])).labels.ids == tiny.IDS


def test_a_card_that_no_training_wrote_is_not_written_over(tmp_path: Path) -> None:
    material = Material(tiny.card(tmp_path, "card"), tiny.manifest(tmp_path), tmp_path)
    before = material.card.read_text()
    with pytest.raises(
        NiahError, match=r"holds card\.toml, labels\.csv, which a training would write"
    ):
        train_recipe(str(material.recipe()), tmp_path, device="cpu")
    assert material.card.read_text() == before
    assert not (tmp_path / "checkpoint.pt").exists()


def test_weights_carry_their_recipe_and_last_log_line(material: Material, tmp_path: Path) -> None:
    weights = train_recipe(str(material.recipe()), tmp_path, settings=["epochs=2"], device="cpu")
    with safe_open(weights, framework="pt") as file:
        content = json.loads(file.metadata()["training"])
    assert content["recipe"]["epochs"] == 2
    assert content["log"]["epoch"] == 2


def test_a_student_learns_from_a_teacher(material: Material, tmp_path: Path) -> None:
    """With the distillation loss alone the student's softmax becomes the teacher's."""
    teacher = own_weights(tiny.card(tmp_path, "teacher", hidden=8), tiny.checkpoint(tmp_path, 3, 8))
    small_recipe = material.recipe(teacher=str(teacher), distillation_weight=1.0, epochs=40)
    train_recipe(str(small_recipe), tmp_path / "out", device="cpu")
    losses = [float(line["loss"]) for line in csv.DictReader((tmp_path / "out/log.csv").open())]
    assert losses[-1] < 0.05 * losses[0]


def test_a_teacher_of_other_labels_is_refused(material: Material, tmp_path: Path) -> None:
    teacher = tiny.card(
        tmp_path, "teacher", labels="synthetic", hidden=8
    )  # its weights are nowhere
    with pytest.raises(NiahError, match="scores synthetic, the student labels: they must be the"):
        train_recipe(str(material.recipe(teacher=str(teacher))), tmp_path / "out", device="cpu")
    assert not (tmp_path / "out").exists()


def test_a_start_from_another_model_keeps_a_fresh_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tiny.checkpoint(tmp_path, 5)
    other = own_weights(tiny.card(tmp_path, "other"), weights)
    student = network()
    before = {key: value.clone() for key, value in student.state_dict().items()}
    start_from(student, str(other), LABELS)
    after = student.state_dict()
    assert torch.equal(after["hidden.weight"], load_file(weights)["hidden.weight"])
    assert torch.equal(after["head.weight"], before["head.weight"])
    same = own_weights(tiny.card(tmp_path, "same"), tiny.checkpoint(tmp_path))
    monkeypatch.setattr(tiny.TinyTagger, "head", "head")
    turned = Vocabulary("turned", tiny.IDS[::-1], tiny.IDS[::-1])
    for labels, is_kept in ((LABELS, True), (turned, False)):  # of one size
        student = network(1)
        before = {key: value.clone() for key, value in student.state_dict().items()}
        start_from(student, str(same), labels)
        assert not torch.equal(student.hidden.weight, before["hidden.weight"])
        assert torch.equal(student.head.weight, before["head.weight"]) is not is_kept
    wide = own_weights(tiny.card(tmp_path, "wide"), tiny.checkpoint(tmp_path, 3, 32))
    with pytest.raises(NiahError, match=r"of another architecture: .* differ"):
        start_from(network(), str(wide), LABELS)
    with pytest.raises(NiahError, match=r"architecture: niah\.adapters\.ast:Ast, not Network"):
        start_from(network(), "ast-sin-nano", LABELS)


def test_teachers_scores_can_be_computed_beforehand(material: Material, tmp_path: Path) -> None:
    """Two teachers' mean; without augmentation, what they say live is what was computed."""
    cards = [
        own_weights(
            tiny.card(tmp_path / str(h), "teacher", hidden=h),
            tiny.checkpoint(tmp_path / str(h), 3, h),
        )
        for h in (8, 24)
    ]
    losses = []
    for teaching in ("live", "precomputed"):
        small_recipe = material.recipe(
            teaching,
            teacher=[str(card) for card in cards],
            teaching=teaching,
            distillation_weight=1.0,
            roll=False,
            frequency_mask=0,
            time_mask=0,
            epochs=3,
        )
        train_recipe(str(small_recipe), tmp_path / teaching, device="cpu")
        losses.append(pd.read_csv(tmp_path / teaching / "log.csv")["loss"])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-3)
    assert losses[0].iloc[0] > 1e-3
