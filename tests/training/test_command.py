"""`niah train` as a user meets it: the list, the notes at the end, the card, the settings of heads and teachers."""

import dataclasses
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.utils.data._utils.pin_memory import pin_memory

from niah.adapters.importing import import_adapter
from niah.adapters.loading import load_card, load_model
from niah.adapters.network_adapter import NetworkAdapter
from niah.adapters.weights import resolve
from niah.cards import cards_folder, find_model, model_cards, read_model_card
from niah.cli.train import train
from niah.errors import NiahError
from niah.frontends.kaldi import KaldiFrontend
from niah.needles import load_needles
from niah.networks.outline import outline
from niah.training.command import _initial_network, train_recipe
from niah.training.data.batch import Batch
from niah.training.data.batch_plan import BatchPlanner, sampling_weights
from niah.training.data.labels import SparseLabels
from niah.training.optimiser import learning_rate, make_optimiser, set_learning_rate
from niah.training.recipes import read_recipe, recipes
from niah.training.teachers import LiveTeachers, LoadedTeacher, precompute, teachers_checksum
from niah.vocabularies import vocabulary
from tests.helpers import tiny
from tests.helpers.small_card import small_card
from tests.helpers.tiny_training import network, recipe


@pytest.fixture(scope="module")
def own_recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    card, manifest = tiny.card(folder), tiny.manifest(folder / "clips", 6)
    lines = [f'model = "{card}"', f'train = "{manifest}"', f'validation = "{manifest}"']
    lines += ["epochs = 2", "batch_size = 3", "warmup_steps = 0"]
    (folder / "mine.toml").write_text("\n".join(lines))
    return folder / "mine.toml"


# --- the command line


def test_the_command_ends_with_the_score_and_what_comes_next(
    own_recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "first try"
    train(str(own_recipe), out, device="cpu")
    printed = capsys.readouterr()
    assert printed.out == f"{out / 'weights.safetensors'}\n"
    lines = printed.err.splitlines()
    assert [line.partition(", loss")[0] for line in lines[:2]] == [
        "mine: epoch 1/2",
        "mine: epoch 2/2",
    ]
    assert lines[-2].startswith("note: validation mAP ")
    assert lines[-1].startswith(f"note: next: niah run --model {out / 'card.toml'} --needles")


def test_the_card_says_what_is_true_of_the_new_weights(own_recipe: Path, tmp_path: Path) -> None:
    weights = train_recipe(str(own_recipe), tmp_path / "second", device="cpu")
    card = read_model_card(tmp_path / "second" / "card.toml")
    assert card.name == "second"
    assert card.title == "tiny, trained by the recipe mine"
    assert card.parameters == sum(value.numel() for value in load_file(weights).values())
    assert card.trained_on == "6 clips of …/clips.csv"
    assert card.licence == ""
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(NiahError, match=r"checksum differs .*it is damaged or another file"):
        resolve(card, "trained")
    hidden = train_recipe(str(own_recipe), tmp_path / ".hidden", device="cpu")
    assert read_model_card(hidden.parent / "card.toml").name == "mine"  # no plain name


def test_recipes_are_listed_and_a_missing_argument_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    train(show=True)
    names = {line.split()[0] for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert {path.stem for path in cards_folder("models").glob("recipes/*.toml")} <= names
    with pytest.raises(NiahError, match="give RECIPE and --out DIR"):
        train("dass-nano")


def test_ctrl_c_speaks_of_epochs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("niah.training.command.train_recipe", interrupted)
    with pytest.raises(SystemExit) as ended:
        train("dass-nano", tmp_path)
    assert ended.value.code == 130
    message = "niah: interrupted; the same command goes on from the last checkpoint\n"
    assert capsys.readouterr().err == message


# --- recipes


def test_a_note_and_later_fields_at_their_default_are_in_no_fingerprint() -> None:
    plain = recipe()
    assert recipe(note="of mine").fingerprint == plain.fingerprint
    assert not {"note", "head_learning_rate", "teacher_file"} & set(plain.parts())
    assert recipe(head_learning_rate=1e-3).fingerprint != plain.fingerprint
    assert recipe(head_learning_rate=1e-3).parts()["head_learning_rate"] == 1e-3


def test_shipped_recipes_say_where_their_figures_come_from() -> None:
    notes = {each.name: each.note for each in recipes()}
    assert all(notes.values())
    for each in recipes():
        assert each.note.startswith(each.summary)
        assert len(each.summary.split()) > 5
    of_papers = [name for name in notes if name.startswith(("as20k-dass", "as20k-ast"))]
    assert len(of_papers) > 8
    for name in of_papers:
        assert "enhanced labels" in notes[name], name


def test_the_long_schedule_is_the_released_one() -> None:
    """`MultiStepLR(range(10, 1000, 5), 0.5)`: at epoch 36 the rate was halved six times."""
    long = read_recipe("as20k-dass-small-distilled-100")
    assert learning_rate(long, 35 * 1000, 1000) == pytest.approx(1e-4 / 2**6)
    assert learning_rate(long, 99 * 1000, 1000) == pytest.approx(1e-4 / 2**18)


def test_a_factor_other_than_one_half() -> None:
    ssamba = read_recipe("as20k-ssamba-tiny")
    rates = [learning_rate(ssamba, epoch * 100, 100) for epoch in (0, 15, 25, 39)]
    assert rates == pytest.approx([1e-4, 0.75e-4, 0.75**2 * 1e-4, 0.75**3 * 1e-4])


@pytest.mark.parametrize("optimiser", ["adam", "adamw"])
def test_the_head_has_a_rate_of_its_own(optimiser: str) -> None:
    tagger = network()
    small_recipe = recipe(optimiser=optimiser, learning_rate=1e-4, head_learning_rate=3e-4)
    made = make_optimiser(small_recipe, tagger, "head")
    set_learning_rate(made, 0.5e-4)
    rates = {id(p): group["lr"] for group in made.param_groups for p in group["params"]}
    assert len(rates) == 4
    for name, parameter in tagger.named_parameters():
        expected = 1.5e-4 if name.startswith("head.") else 0.5e-4
        assert rates[id(parameter)] == pytest.approx(expected), name
    for head in ("", "hea"):
        with pytest.raises(NiahError, match="the adapter of 'm' names no head"):
            make_optimiser(small_recipe, tagger, head)


def test_every_familys_head_may_have_a_rate_of_its_own() -> None:
    """Its norm goes with it where both are one row of layers, as in SSAST's `mlp_head`."""
    names = {}
    by_size = sorted(model_cards(), key=lambda card: -card.parameters)
    for card in {card.adapter: card for card in by_size}.values():  # the smallest of each
        family = import_adapter(card)
        if not (isinstance(family, type) and issubclass(family, NetworkAdapter)):
            continue
        classes = len(vocabulary(card.labels_source))
        tagger = outline(partial(family.build, card.config, classes))
        made = make_optimiser(recipe(head_learning_rate=3e-4), tagger, family.head)
        own = {id(p) for group in made.param_groups[2:] for p in group["params"]}
        names[card.adapter] = [n for n, p in tagger.named_parameters() if id(p) in own]
        assert f"{family.head}.bias" in names[card.adapter]
    assert len(names) > 15
    ends = ("0.weight", "0.bias", "1.weight", "1.bias")
    assert names["niah.adapters.ssast:Ssast"] == [f"mlp_head.{end}" for end in ends]


# --- models


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "model=yamnet",
            "model 'yamnet' cannot be trained: niah.adapters.onnx.* is no subclass of",
        ),
        ("start=yamnet", "model 'yamnet' cannot be trained: "),
        ("model=hf:owner/name", "recipe 'mine': model 'hf:owner/name' has no card: give a"),
        ('teacher=["tagger.py:tag"]', "recipe 'mine': teacher 'tagger.py:tag' has no card: give a"),
    ],
)
def test_a_model_without_a_network_is_refused(
    own_recipe: Path, tmp_path: Path, setting: str, message: str
) -> None:
    with pytest.raises(NiahError, match=message):
        train_recipe(str(own_recipe), tmp_path / "out", settings=[setting], device="cpu")
    assert not (tmp_path / "out").exists()


# --- teachers


@pytest.mark.parametrize(
    ("adapter", "config"),
    [
        ("ced:Ced", "width = 24\ndepth = 1\nheads = 3"),
        ("panns:Cnn14", "channels = [2, 2, 2, 2, 2, 2]\nhidden = 4"),
    ],
)
def test_a_teacher_with_a_learned_mean_teaches_live(
    tmp_path: Path, adapter: str, config: str
) -> None:
    """Its front end has the mean that its checkpoint learned, which no feature depends on."""
    card = small_card(tmp_path, f"niah.adapters.{adapter}", config)
    teacher: Any = load_model(card, "random")
    norms: list[Any] = [m for m in teacher.network.modules() if isinstance(m, torch.nn.BatchNorm1d)]
    norms[0].running_mean += 1
    save_file(teacher.network.state_dict(), tmp_path / "other.safetensors")
    teacher = load_model(card, tmp_path / "other.safetensors")
    own = type(teacher).default_frontend
    assert teacher.frontend.fingerprint != own.fingerprint
    LiveTeachers([LoadedTeacher(teacher, teacher.card)], own)
    with pytest.raises(NiahError, match="has another front end than the student"):
        LiveTeachers([LoadedTeacher(teacher, teacher.card)], KaldiFrontend())


def test_a_teachers_file_may_be_given(own_recipe: Path, tmp_path: Path) -> None:
    teacher, file = tiny.card(tmp_path, "teacher", hidden=8), tiny.checkpoint(tmp_path, 3, 8)
    settings = [f'teacher=["{teacher}"]']
    with pytest.raises(NiahError, match=r"teacher: model 'teacher' .*--set teacher_file=FILE"):
        train_recipe(str(own_recipe), tmp_path / "no", settings=settings, device="cpu")
    with pytest.raises(NiahError, match=r"start: model 'teacher' .*: give --set start_file=FILE$"):
        train_recipe(str(own_recipe), tmp_path / "no", settings=[f"start={teacher}"], device="cpu")
    settings.append(f'teacher_file=["{file}"]')
    assert train_recipe(
        str(own_recipe), tmp_path / "out", settings=settings, device="cpu"
    ).is_file()
    with pytest.raises(NiahError, match="teacher_file must be one file for each teacher"):
        recipe(teacher=("a", "b"), teacher_file=("one",))


def test_precomputed_logits_store_no_features(tmp_path: Path) -> None:
    card = tiny.card(tmp_path, "teacher", hidden=8)
    teacher = load_model(str(card), tiny.checkpoint(tmp_path, 3, 8))
    labels = vocabulary(tmp_path / "labels.csv")
    needles = load_needles(tiny.manifest(tmp_path, 5), vocabulary=labels)
    loaded = LoadedTeacher(teacher, find_model(card)[0])
    (logits,) = precompute([loaded], needles, tmp_path / "cache")
    assert logits.shape == (5, 3)
    assert [file.name[:8] for file in (tmp_path / "cache").glob("*.npy")] == ["teacher-"]
    (tmp_path / "clip01.wav").write_text("no sound")
    (tmp_path / "clip03.wav").unlink()
    bad = [n for n, each in enumerate(needles.needles) if each.id in ("clip01", "clip03")]
    (without,) = precompute([loaded], needles, tmp_path / "cache", are_checked=False)
    assert np.isnan(without[bad]).all()  # in whose places a buffer gives others
    good = np.setdiff1d(np.arange(5), bad)
    assert np.allclose(without[good], logits[good], atol=1e-6)
    with pytest.raises(NiahError, match=r"clip0[13]\.wav: "):
        precompute([loaded], needles, tmp_path / "other")


def test_stored_logits_are_not_those_of_a_teacher_of_another_config(tmp_path: Path) -> None:
    """The same weights under the same name, scored otherwise: nor does a training go on with them."""
    card, weights = find_model("dass-nano")
    needles = load_needles("synthetic:train", vocabulary=vocabulary(card.labels_source), limit=2)
    logits, checksums = [], []
    for pooling in ("average", "max", "average"):
        own = dataclasses.replace(card, config={**card.config, "pooling": pooling})
        teacher = LoadedTeacher(load_card(own, weights), own)
        logits += precompute([teacher], needles, tmp_path / "cache")
        checksums.append(teachers_checksum([teacher]))
    assert np.array_equal(logits[0], logits[2])
    assert np.abs(logits[0] - logits[1]).max() > 0.1
    assert checksums[0] == checksums[2] != checksums[1]
    assert len({each.split()[0] for each in checksums}) == 1  # all that earlier checkpoints have


# --- labels and batches


def test_sparse_labels_are_the_dense_ones() -> None:
    rng = np.random.default_rng(0)
    dense = (rng.random((50, 12)) < 0.2).astype(np.float32)
    dense[7] = 0
    sparse = SparseLabels.from_dense(dense)
    rows = rng.integers(50, size=80)
    assert np.array_equal(sparse.targets(rows), dense[rows])
    assert np.array_equal(sparse.clips_per_class(), dense.sum(0))
    weights = dense.astype(float) @ (1000 / (dense.astype(float).sum(0) + 0.01))
    np.testing.assert_allclose(sampling_weights(sparse), weights / weights.sum(), rtol=1e-12)
    names = vocabulary("esc-10")
    sets = [(names.ids[3], names.ids[1], names.ids[3]), (), (names.ids[9],)]
    again = SparseLabels.from_label_sets(sets, names)
    expected = np.zeros((3, 10), np.float32)
    expected[0, [1, 3]] = expected[2, 9] = 1
    assert np.array_equal(again.targets(np.arange(3)), expected)
    with pytest.raises(NiahError, match="not in vocabulary"):
        SparseLabels.from_label_sets([("none",)], names)


def test_half_a_million_clips_are_planned_in_little_memory() -> None:
    """A dense matrix of their labels would be a gigabyte; the plan's arrays are 80 bytes a clip at most."""
    n = 500_000
    starts = np.arange(n + 1, dtype=np.int64) * 2
    classes = np.tile(np.arange(527, dtype=np.int32), 2 * n // 527 + 1)[: 2 * n]
    labels = SparseLabels(starts, classes, 527)
    planner = BatchPlanner(
        recipe(sampling="balanced", batch_size=12), labels, frames=1024, mels=128
    )
    assert planner.per_epoch == n // 12
    assert labels.targets(planner[0].rows).sum() == 24


def test_a_batch_pins_its_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    """DataLoader passes a dataclass without this method through unpinned. (Pinning itself needs a GPU.)"""
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self, *_: self + 1)
    batch = Batch(torch.zeros(1), sounds=torch.zeros(2), samples=(2,))
    plan, pinned = pin_memory(("plan", batch))  # type: ignore[no-untyped-call]
    assert plan == "plan"
    assert float(pinned.targets) == 1
    assert pinned.sounds.tolist() == [1, 1]
    assert pinned.log_mel is None
    assert pinned.samples == (2,)


def test_a_drawn_classifier_starts_at_the_head_bias_and_a_start_brings_its_own() -> None:
    card, _ = find_model("dass-nano")
    family, labels = import_adapter(card), vocabulary(card.labels_source)

    def drawn(**values: Any) -> dict[str, torch.Tensor]:
        made = recipe(model="dass-nano", **values)
        network: torch.nn.Module = _initial_network(made, card, family, labels)
        return network.state_dict()

    plain, biased = drawn(), drawn(head_bias=-3.9)
    differing = {name for name in plain if not torch.equal(plain[name], biased[name])}
    assert differing == {"classifier.head.bias"}
    assert (biased["classifier.head.bias"] == -3.9).all()
    started = drawn(start="dass-nano", head_bias=-3.9)
    assert not (started["classifier.head.bias"] == -3.9).any()
    assert recipe(head_bias=-3.9).fingerprint != recipe().fingerprint
    with pytest.raises(NiahError, match="head_bias must be -100 to 100, got inf"):
        recipe(head_bias=math.inf)
