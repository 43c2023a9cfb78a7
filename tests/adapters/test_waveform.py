"""Models of waveforms: from Python and from cards, native and over windows, with all that other models have."""

import functools
import json
import sys
import textwrap
import unittest
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import niah
from niah.adapters.contract import part_problems
from niah.adapters.identity import identity_of
from niah.adapters.loading import adapter_info, as_adapter, load_model
from niah.adapters.model_source import ModelRequest
from niah.adapters.python_models import name_of, source_of
from niah.adapters.sources import find_source
from niah.adapters.verify import verify
from niah.adapters.waveform import FunctionModel, WaveformAdapter, WaveformModel, window_s
from niah.diagnosis.localisation.evidence import occlusion_curve
from niah.diagnosis.localisation.locate import LocateOptions, locate
from niah.diagnosis.localisation.rows import read
from niah.errors import NiahError
from niah.records.run_directory import RunDirectory
from niah.sweep.loop import run_sweep
from niah.sweep.options import RunOptions
from tests.helpers import tiny
from tests.helpers.waveform_tagger import LABELS, PitchTagger, by_pitch


@dataclass(frozen=True)
class Material:
    folder: Path
    clips: Path
    labels: Path

    def run(self, out: str, models: Any, **given: Any) -> Any:
        options: dict[str, Any] = {
            "models": models,
            "needles": self.clips,
            "haystacks": ["silence", "gaussian"],
            "lengths": [10, 20],
            "device": "cpu",
            "out": self.folder / out,
        }
        return niah.run(**{**options, **given})


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    folder = tmp_path_factory.mktemp("waves")
    clips = tiny.manifest(folder / "clips")
    return Material(folder, clips, tiny.card(folder).parent / "labels.csv")


def card(folder: Path, adapter: str, **config: Any) -> Path:
    path = tiny.card(folder, "wave", **config)
    path.write_text(path.read_text().replace("tests.helpers.tiny:TinyTagger", adapter))
    return path


def named(function: Callable[..., Any], **attributes: Any) -> Any:
    """Another function that does the same, with attributes of its own."""

    def copied(waveforms: Tensor) -> Any:
        return function(waveforms)

    for name, value in attributes.items():
        setattr(copied, name, value)
    return copied


# --- runs


def test_notes_of_a_run_from_python_are_logged(material: Material) -> None:
    """They were lost: clips and haystacks that are left out, cells that failed."""
    short = PitchTagger(max_seconds=10)
    with unittest.TestCase().assertLogs("niah") as logged:
        material.run("logged", short, haystacks=["zero", "silence"], lengths=[20])
    texts = [each.getMessage() for each in logged.records]
    assert any("zero" in text and "silence" in text for text in texts)
    assert any("error: pitch takes at most 10 s" in text for text in texts)
    assert {each.levelname for each in logged.records} == {"WARNING"}


def test_a_function_an_object_and_a_card_are_one_model(material: Material) -> None:
    """The same logits by three ways in one run: the same scores, keys of their own, real accuracy."""
    tagger = PitchTagger()
    path = card(material.folder, "tests.helpers.waveform_tagger:by_pitch", sample_rate=16000)
    table = material.run(
        "three",
        [by_pitch, tagger, path],
        labels=material.labels,
        sample_rate=16000,
        controls=["needle-free"],
    )
    assert set(table["status"]) == {"ok"}
    assert set(table["model"]) == {"by_pitch", "pitch", "wave"}
    assert table["cell"].is_unique
    assert set(table.loc[table["length_s"] == 20, "frames"]) == {2000}
    assert set(table["kernel"]) == {"waveform"}
    base = table[table["haystack"] == "none"]
    assert set(base["mAP"]) == {1.0}
    free = table[(table["control"] == "needle-free") & (table["haystack"] == "silence")]
    assert (free["needle_free_mAP"].fillna(0) < 0.7).all()
    columns = ["haystack", "length_s", "position", "snr_db", "control"]
    per_model = [
        group.sort_values(columns)[["mAP", "auc"]].to_numpy() for _, group in table.groupby("model")
    ]
    assert np.array_equal(per_model[0], per_model[1], equal_nan=True)
    assert np.array_equal(per_model[0], per_model[2], equal_nan=True)
    assert max(batch for batch, _ in tagger.inputs) == 1
    stored = json.loads((material.folder / "three" / "run.json").read_text())
    assert stored["arguments"]["models"][:2] == ["by_pitch", "pitch"]
    assert "objects" not in stored["arguments"]
    assert stored["models"]["pitch"]["adapter"] == "tests.helpers.waveform_tagger:PitchTagger"


def test_a_run_is_resumed_but_not_by_other_code(
    material: Material, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = PitchTagger()
    before = material.run("again", first)
    assert first.inputs
    second = PitchTagger()
    pd_again = material.run("again", second, lengths=[10, 20, 30])
    assert {samples for _, samples in second.inputs} == {480_000}  # the new length alone
    assert len(pd_again) == len(before) + 2
    monkeypatch.setattr("niah.adapters.identity.sha256_of", lambda _: "edited")
    third = PitchTagger()
    with pytest.raises(
        NiahError, match="the code or the weights of model 'pitch' are not those that scored cells"
    ):
        material.run("again", third)
    assert not third.inputs
    for row in (material.folder / "again" / "cells").glob("*.json"):
        row.unlink()
    assert len(material.run("again", third)) == len(before)  # nothing is there that it could mix


def test_an_adapter_in_memory_has_the_cells_of_its_card(material: Material) -> None:
    path, weights = tiny.card(material.folder), tiny.checkpoint(material.folder)
    options: dict[str, Any] = {"haystacks": ["gaussian"], "lengths": [12]}
    by_name = material.run("adapter", path, checkpoint=weights, **options)
    again = material.run("adapter", load_model(path, checkpoint=weights), **options)
    assert list(again["cell"]) == list(by_name["cell"])
    random = load_model(path, checkpoint="random")
    masked = material.run("adapter", random, **options)
    assert masked.loc[masked["model"] == "tiny:random", "mAP"].isna().all()


def test_native_is_refused_past_the_longest_and_windows_hear_it(material: Material) -> None:
    table = material.run("limit", PitchTagger(max_seconds=12), haystacks=["gaussian"])
    failed = table[table["status"] == "error"]
    assert list(failed["length_s"]) == [20]
    assert "pitch takes at most 12 s, got 20 s: add --window 10" in failed["error"].iloc[0]
    table = material.run("limit", PitchTagger(max_seconds=12), haystacks=["gaussian"], window=10)
    windowed = table[table["window_s"] == 10]
    assert set(windowed["status"]) == {"ok"}
    assert set(windowed["mAP"]) == {1.0}
    # the longest is no part of a cell's key: another limit is another model
    assert len(table) == 6


def test_a_fixed_length_is_run_over_windows_of_it(material: Material) -> None:
    tagger = PitchTagger(fixed_seconds=4)
    table = material.run("fixed", tagger, haystacks=["silence"])
    assert set(table["status"]) == {"ok"}
    assert set(table["window_s"]) == {4}
    assert {samples for _, samples in tagger.inputs} == {64_000}
    notes = json.loads((material.folder / "fixed" / "run.json").read_text())["notes"]
    assert "model 'pitch' takes 4 s at a time: it is scored over windows of 4 s" in notes
    long = material.run("fixed", tagger, haystacks=["silence"], window=5)
    assert "crops to 4 s, so 5 s have no native mode" in long.iloc[-1]["error"]


def test_a_fixed_length_that_is_no_whole_row_is_run_too(material: Material) -> None:
    """YAMNet's 15,600 samples are 97.5 rows of 10 ms."""
    tagger = PitchTagger(fixed_seconds=0.975)
    table = material.run("patch", tagger, haystacks=["silence"])
    assert set(table["status"]) == {"ok"}
    assert {samples for _, samples in tagger.inputs} == {15_520}


def test_equal_windows_are_scored_once_to_the_same_bits(material: Material) -> None:
    """Over the clips, lengths, positions and SNRs of a run."""
    scored, scores = [], []
    for name, reuse in (("every", False), ("once", True)):
        tagger, where = PitchTagger(), {"positions": [0, 0.6], "snr": [0, 20], "lengths": [35, 45]}
        material.run(name, tagger, window=10, reuse=reuse, limit=3, **where)
        scored.append(len(tagger.inputs))
        run = RunDirectory(material.folder / name)
        scores.append({key: run.read_scores(key).logits.tobytes() for key in run.cells()["cell"]})
    assert scores[0] == scores[1]
    assert scored[1] < scored[0] / 2


def test_zeros_and_windows_longer_than_a_scene_are_noted(material: Material) -> None:
    table = material.run("noted", PitchTagger(), haystacks=["zero", "silence"], window=30)
    assert set(table["haystack"]) == {"none", "silence"}  # zeros are left out
    assert set(table["status"]) == {"ok"}
    notes = " ".join(json.loads((material.folder / "noted" / "run.json").read_text())["notes"])
    assert "which no waveform has: use silence" in notes
    assert "--window 30 is longer than the scenes of 10, 20 s" in notes


def test_every_axis_and_the_sham(material: Material) -> None:
    table = material.run(
        "axes",
        PitchTagger(),
        haystacks=["gaussian"],
        lengths=[40],
        needle_s=[2],
        needle_count=[2],
        distractors=[1],
        level="surround",
        control=["sham"],
    )
    assert set(table["status"]) == {"ok"}
    assert len(table) == 3  # the base, the crowd and its sham
    assert RunDirectory(material.folder / "axes").completed() == set(table["cell"])


@pytest.mark.parametrize("limits", [{}, {"fixed_seconds": 8}])
def test_occlusion_finds_the_needle(material: Material, limits: dict[str, float]) -> None:
    """Natively, and over windows where nothing longer is taken."""
    path = card(material.folder, "tests.helpers.waveform_tagger:CardTagger", **limits)
    out = f"where-{len(limits)}"
    material.run(out, path, haystacks=["silence"], lengths=[40], limit=3)
    locate(LocateOptions(material.folder / out, limit=3))
    (located,) = read(material.folder / out)
    assert (located.method, located.hit_rate) == ("occlusion", 1.0)


def test_occlusion_of_a_model_that_changes_its_input() -> None:
    def in_place(waveforms: Tensor) -> Tensor:
        logits = by_pitch(waveforms)
        waveforms.zero_()
        return logits

    scene = torch.from_numpy(tiny.tone(0, 20.0)).float().reshape(-1, 160)
    curves = []
    for function in (by_pitch, in_place):
        adapter = WaveformAdapter(FunctionModel(function, "f", 16000, LABELS))
        curves.append(occlusion_curve(adapter, scene.clone(), torch.zeros(160)).values)
    assert np.array_equal(curves[0], curves[1])
    assert curves[0].any()


def test_an_edited_file_is_not_located_with(material: Material, tmp_path: Path) -> None:
    file = tmp_path / "edited.py"
    text = "from tests.helpers.waveform_tagger import by_pitch\ndef f(x):\n    return by_pitch(x)\n"
    file.write_text(text)
    given = {"labels": material.labels, "sample_rate": 16000, "haystacks": ["silence"], "limit": 2}
    material.run("edited", f"{file}:f", **given)
    file.write_text(text.replace("return ", "return -"))
    for name in [name for name in sys.modules if name == "edited"]:
        del sys.modules[name]
    with pytest.raises(NiahError, match="the code or the weights of model 'f' are not those"):
        locate(LocateOptions(material.folder / "edited", limit=2))


def test_a_model_of_waveforms_is_not_taken_apart(material: Material) -> None:
    from niah.diagnosis.causes.passes import passes_of
    from niah.sweep.setup import EvalSetup

    path = card(material.folder, "tests.helpers.waveform_tagger:CardTagger")
    options = RunOptions(
        models=(str(path),),
        needles=str(material.clips),
        haystacks=("silence",),
        device="cpu",
        out=material.folder / "none",
    )
    (loaded,) = EvalSetup(options).loaded()
    with pytest.raises(NiahError, match="no causes are defined for model 'wave'"):
        passes_of(loaded)


# --- the adapter


def test_rows_are_the_waveform_and_large_batches_are_taken_in_parts() -> None:
    class Two(PitchTagger):
        def safe_batch(self, samples: int) -> int:
            return 2 if samples == 320 else 7

    model = Two()
    assert isinstance(model, WaveformModel)
    adapter = WaveformAdapter(model)
    rows = torch.randn(5, 2, 160)
    assert torch.equal(adapter.logits(rows), by_pitch(rows.reshape(5, 320)))
    assert model.inputs == [(2, 320), (2, 320), (1, 320)]
    assert (adapter.safe_batch(2), adapter.safe_batch(3)) == (2, 7)
    assert WaveformAdapter(PitchTagger()).safe_batch(100_000_000) == 1
    with pytest.raises(NiahError, match=r"rows must be \(batch, rows, 160\)"):
        adapter.logits(torch.zeros(1, 2, 128))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda x: by_pitch(x).numpy().astype(np.float64), None),
        (lambda x: by_pitch(x).half(), None),
        (lambda x: by_pitch(x).numpy()[:, ::-1], None),
        (lambda x: by_pitch(x).numpy().astype(">f4"), None),
        (lambda x: by_pitch(x).numpy().astype(np.longdouble), None),
        (lambda x: np.broadcast_to(by_pitch(x).numpy()[0], (len(x), 3)), None),  # read-only
        (lambda x: list(by_pitch(x).numpy()), None),
        (lambda x: by_pitch(x).numpy().astype(str), "must be a tensor or an array of numbers"),
        (lambda x: by_pitch(x)[0], r"logits of 1 waveforms are \(3,\), must be \(1, 3\)"),
        (lambda _: None, "must be a tensor or an array of numbers, not NoneType"),
        (lambda x: by_pitch(x) + 1j, r"must be real numbers, not torch\.complex64"),
    ],
)
def test_answers_are_taken_or_refused(answer: Any, reason: str | None) -> None:
    adapter = WaveformAdapter(FunctionModel(answer, "f", 16000, LABELS))
    rows = torch.zeros(1, 100, 160)
    if reason is None:
        assert adapter.logits(rows).dtype == torch.float32
        return
    with pytest.raises(NiahError, match=reason):
        adapter.logits(rows)


def test_a_model_that_drops_rows_of_its_input_is_refused() -> None:
    """Its answer was measured against what it had left of the input: the run ended in a traceback."""

    def first(waveforms: Tensor) -> Tensor:
        return by_pitch(waveforms.resize_(1, waveforms.shape[1]))

    adapter = WaveformAdapter(FunctionModel(first, "first", 16000, LABELS))
    with pytest.raises(NiahError, match=r"logits of 2 waveforms are \(1, 3\), must be \(2, 3\)"):
        adapter.logits(torch.zeros(2, 100, 160))


def test_windows_are_no_longer_than_what_is_taken() -> None:
    assert window_s(WaveformAdapter(PitchTagger(max_seconds=3, fixed_seconds=5))) == 3
    assert window_s(WaveformAdapter(PitchTagger(max_seconds=30))) == 10
    assert window_s(object()) == 10


def test_what_a_model_says_of_its_weights_is_recorded() -> None:
    model = PitchTagger()
    model.weights_sha256, model.parameters = "f" * 64, 7  # type: ignore[attr-defined]
    info = adapter_info(WaveformAdapter(model))
    assert (info.weights_sha256, info.parameters, info.kernel) == ("f" * 64, 7, "waveform")


# --- Python objects


def test_names() -> None:
    assert name_of(by_pitch) == "by_pitch"
    assert name_of(PitchTagger("mine")) == "mine"
    assert name_of(functools.partial(by_pitch)) == "by_pitch"
    assert name_of(lambda x: x) == "lambda"
    assert name_of(PitchTagger("<b>loud</b>")) == "<b>loud</b>"
    assert name_of(PitchTagger(" in two\nlines ")) == "in two lines"  # as --model can name it
    assert name_of(torch.nn.Linear(1, 1)) == "Linear"


def test_what_is_no_model_is_refused_in_one_line(material: Material) -> None:
    labels = {"labels": material.labels, "sample_rate": 16000}
    refused: list[tuple[Any, dict[str, Any], str]] = [
        ([lambda x: x, lambda x: -x], labels, "two models are called 'lambda'"),
        (3, {}, "not int"),
        (PitchTagger, {}, "'PitchTagger' is a class: give an object of it"),
        (by_pitch, {}, "say its classes"),
        (by_pitch, {"labels": "synthetic"}, "say its rate, sample_rate=16000"),
        (by_pitch, {**labels, "sample_rate": 22055}, "multiple of 100 Hz"),
        (by_pitch, {**labels, "protocol": "dass-v1"}, "dass-v1 splices log-mel features"),
        (by_pitch, {**labels, "checkpoint": "w.pt"}, "comes with its weights"),
        (by_pitch, {**labels, "kernel": "cpu"}, "has no scan to choose"),
        (torch.nn.Linear(1, 1), labels, "in training mode: call .eval()"),
    ]
    for models, given, reason in refused:
        with pytest.raises(NiahError) as raised:
            material.run("refused", models, **given)
        assert reason in str(raised.value)
        assert "\n" not in str(raised.value)
    tagger = PitchTagger()
    tagger.dtype = torch.float16  # type: ignore[attr-defined]
    with pytest.raises(NiahError, match="computes in float16: give dtype='float16'"):
        material.run("refused", tagger)
    assert not (material.folder / "refused").exists()


def test_a_functions_own_labels_and_rate_come_first() -> None:
    own = named(
        by_pitch, name="own", labels=LABELS, sample_rate=8000, max_seconds=3, fixed_seconds=2
    )
    source = find_source(own, ModelRequest("synthetic", 16000))
    assert (source.card.name, source.labels, source.card.config["sample_rate"]) == (
        "own",
        LABELS,
        8000,
    )
    assert source.card.config["max_seconds"] == 3
    assert source.card.config["fixed_seconds"] == 2


def test_the_identity_is_the_code_and_the_weights_that_show() -> None:
    assert identity_of(by_pitch) == identity_of(by_pitch)
    texts = ["def f(x):\n    return x", "def f(x):\n    return -x"]
    spaces: list[dict[str, Any]] = [{}, {}, {}]
    for text, space in zip([*texts, texts[0]], spaces, strict=True):
        exec(text, space)  # no file, as at a prompt
    first, other, same = (identity_of(space["f"]) for space in spaces)
    assert first == same != other
    network = torch.nn.Linear(2, 2)
    before = identity_of(network)
    with torch.no_grad():
        network.weight += 1
    assert identity_of(network) != before


def test_what_a_function_was_made_with_is_part_of_its_identity() -> None:
    def made(shift: Any) -> Callable[[Tensor], Tensor]:
        return lambda x: by_pitch(x) + shift

    def at_prompt(default: int) -> Any:
        space: dict[str, Any] = {}
        exec(f"def f(x, t={default}):\n    return x + t", space)
        return space["f"]

    class Net(torch.nn.Module):
        def __init__(self, seed: int) -> None:
            super().__init__()
            torch.manual_seed(seed)
            self.layer = torch.nn.Linear(2, 2)

        def predict(self, x: Tensor) -> Tensor:
            return x

    tagger: Any = by_pitch
    pairs: list[Callable[[int], Any]] = [
        made,
        at_prompt,
        lambda n: functools.partial(tagger, n),
        lambda n: functools.partial(tagger, t=n),
        lambda n: made(np.full(3, n)),
        lambda n: made(torch.full((3,), float(n))),
        lambda n: made({"shift": [n]}),
        lambda n: Net(n).eval().predict,
        lambda n: made(Net(n).eval()),
    ]
    for pair in pairs:
        first, same, other = (identity_of(pair(n)) for n in (0, 0, 3))
        assert first == same != other
    find = ModelRequest("synthetic", 16000)
    with pytest.raises(NiahError, match="is in training mode"):
        source_of(Net(0).predict, find)


# --- files and cards


def test_a_function_of_waveforms_may_have_a_device(tmp_path: Path, material: Material) -> None:
    (tmp_path / "devices.py").write_text(
        "from tests.helpers.waveform_tagger import by_pitch\n"
        "def tagger(x, device='cpu', **more):\n    return by_pitch(x.to(device))\n"
    )
    source = find_source(f"{tmp_path}/devices.py:tagger", ModelRequest(str(material.labels), 16000))
    assert source.labels.ids == LABELS.ids
    (tmp_path / "étiquettes.py").write_text("def étiqueter(x):\n    return x\n")
    assert (
        find_source(
            f"{tmp_path}/étiquettes.py:étiqueter", ModelRequest(str(material.labels), 16000)
        ).card.name
        == "étiqueter"
    )


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        (
            {"labels": ["a", "b"]},
            "labels must be a Vocabulary, its name or a file of labels, not list",
        ),
        ({"labels": {"a": 1}}, "not dict"),
        ({"sample_rate": "16 kHz"}, "sample_rate must be whole Hz"),
        ({"sample_rate": float("nan")}, "sample_rate must be whole Hz"),
        ({"sample_rate": 16000.5}, "sample_rate must be whole Hz"),
        ({"sample_rate": (16000,)}, "sample_rate must be whole Hz"),
        ({"sample_rate": 10**9}, "must be at most 768000 Hz"),
    ],
)
def test_wrong_attributes_of_a_function_are_one_line(
    attributes: dict[str, Any], reason: str, material: Material
) -> None:
    given: dict[str, Any] = {"labels": material.labels, "sample_rate": 16000, "limit": 1}
    with pytest.raises(NiahError, match=reason):
        material.run("wrong", named(by_pitch, **attributes), **given)


def test_a_file_that_goes_to_another_folder_takes_nobody_along(
    tmp_path: Path, material: Material, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Research code does so for its own files; the run was written there, or its clips were not found."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "goes_away.py").write_text(
        textwrap.dedent("""
        import os
        from tests.helpers.waveform_tagger import CardTagger
        os.chdir(os.path.dirname(__file__) + "/elsewhere")
        class Moving(CardTagger):
            def __init__(self, *args, **keywords):
                os.chdir(os.path.dirname(__file__) + "/elsewhere")
                super().__init__(*args, **keywords)
        """)
    )
    monkeypatch.chdir(tmp_path)
    niah.run(
        models="goes_away.py:Moving",
        labels=material.labels,
        needles=material.clips,
        haystacks=["silence"],
        lengths=[10],
        out="runs/here",
    )
    assert (tmp_path / "runs" / "here" / "cells.csv").is_file()
    assert Path.cwd() == tmp_path


def test_a_name_in_a_python_file_is_a_model(tmp_path: Path, material: Material) -> None:
    (tmp_path / "of_file.py").write_text(
        textwrap.dedent("""
        from tests.helpers.waveform_tagger import CardTagger, PitchTagger, by_pitch
        made = PitchTagger("inner")
        number = 3
        """)
    )
    request = ModelRequest(str(material.labels), 16000)
    (tmp_path / "of-file 2.py").write_text((tmp_path / "of_file.py").read_text())  # no identifier
    assert find_source(f"{tmp_path}/of-file 2.py:made", request).card.name == "made"
    for name in ("by_pitch", "made", "CardTagger"):
        source = find_source(f"{tmp_path}/of_file.py:{name}", request)
        assert (source.card.name, source.labels.ids) == (name, LABELS.ids)
    table = material.run(
        "file",
        f"{tmp_path}/of_file.py:CardTagger",
        labels=material.labels,
        haystacks=["silence"],
        lengths=[10],
    )
    assert list(table["mAP"]) == [1.0]
    for spec, reason in (
        ("no.py:f", "no.py not found"),
        (f"{tmp_path}/of_file.py:nothing", "has no 'nothing'"),
        (f"{tmp_path}/of_file.py:number", "not int"),
        (f"{tmp_path}/of_file.py", "say which object of the file it is"),
        (f"{tmp_path}/of_file.py:", "stands the name of one object"),
        (f"{tmp_path}/of_file.py:CardTagger.logits", "stands the name of one object"),
        ("https://huggingface.co/a/b", "hf:OWNER/NAME"),
    ):
        with pytest.raises(NiahError, match=reason):
            find_source(spec, request)
    with pytest.raises(NiahError, match="say its classes with --labels"):
        find_source(f"{tmp_path}/of_file.py:CardTagger")


def test_a_card_of_a_function_says_its_rate(tmp_path: Path) -> None:
    path = card(tmp_path, "tests.helpers.waveform_tagger:by_pitch")
    with pytest.raises(NiahError, match=r"\[config\] sample_rate = 16000"):
        load_model(path)
    path = card(tmp_path, "tests.helpers.waveform_tagger:HERTZ")
    with pytest.raises(NiahError, match="is no class, model or function"):
        load_model(path)


def test_a_card_of_a_class_loads_its_weights(tmp_path: Path) -> None:
    path = card(tmp_path, "tests.helpers.waveform_tagger:WeightedTagger")
    weights = tmp_path / "offset.txt"
    weights.write_text("2.5")
    adapter: Any = load_model(path, checkpoint=weights)
    rows = torch.randn(1, 100, 160)
    assert torch.allclose(adapter.logits(rows), by_pitch(rows.reshape(1, -1)) + 2.5)
    assert len(adapter_info(adapter).weights_sha256) == 64
    assert adapter_info(load_model(path, checkpoint="random")).random


# --- the contract


def faulty(**changed: Any) -> Any:
    """A tagger with parts replaced; None takes one away."""
    parts = dict(vars(PitchTagger()), waveform_logits=by_pitch) | changed
    return type("Faulty", (), {k: v for k, v in parts.items() if v is not None or "max" in k})()


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"labels": None, "name": None}, "it lacks name, labels"),
        ({"name": 3}, "name must be text, not int"),
        ({"labels": ["a"]}, "labels must be a Vocabulary, not list"),
        ({"sample_rate": 11025}, "must be a multiple of 100 Hz"),
        ({"sample_rate": "16k"}, "sample_rate must be whole Hz, not str"),
        ({"max_seconds": -1}, "max_seconds must be None or seconds above 0, got -1"),
        ({"fixed_seconds": float("inf")}, "fixed_seconds must be None or seconds above 0, got inf"),
        ({"waveform_logits": 3}, "waveform_logits must be a method, waveform_logits(waveforms)"),
    ],
)
def test_a_part_that_is_wrong_is_named(changed: dict[str, Any], reason: str) -> None:
    assert any(reason in problem for problem in part_problems(faulty(**changed), LABELS))
    with pytest.raises(NiahError, match="Faulty is no waveform model"):
        as_adapter(faulty(**changed), LABELS)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("return by_pitch(x) / 0", "logits hold NaN or infinity"),
        ("return by_pitch(x)[:, :2]", "are (2, 2), must be (2, 3)"),
        ("x += 1; return by_pitch(x)", "logits changed its input"),
        ("return by_pitch(x) + torch.rand(1)", "between two runs on the same input"),
        ("return by_pitch(x) - x.mean()*1e4", "when another clip is in the batch"),
        ("import sys; sys.exit(0)", "raised SystemExit"),
        ("return by_pitch(x).to_sparse()", "logits must be dense"),
        ("return x.nothing", "waveform_logits of waveforms 2 x 160000 raised AttributeError"),
        ("return by_pitch(x)", ""),
    ],
)
def test_a_function_that_misbehaves_is_found(
    tmp_path: Path, material: Material, body: str, reason: str, request: pytest.FixtureRequest
) -> None:
    module = f"m{abs(hash(request.node.name))}"
    head = "import torch\nfrom tests.helpers.waveform_tagger import by_pitch\n"
    (tmp_path / f"{module}.py").write_text(f"{head}def tagger(x):\n    {body}\n")
    asked = ModelRequest(str(material.labels), 16000)
    found = list(verify(f"{tmp_path}/{module}.py:tagger", None, (10,), "cpu", asked))
    unmet = [each.text for each in found if not each.met]
    assert any(reason in text for text in unmet) if reason else not unmet
    assert bool(reason) or found[-1].text.startswith("10 s (1000 frames)")


def test_verify_goes_over_to_windows_where_there_is_no_native_mode(tmp_path: Path) -> None:
    path = card(tmp_path, "tests.helpers.waveform_tagger:CardTagger", max_seconds=5)
    found = [str(each) for each in verify(str(path), None, (10,), "cpu")]
    assert found[1].startswith("protocol: met")
    assert "wave takes at most 5 s, got 10 s" in found[2]
    assert found[3].startswith("waveform+window-max-hop2.5s, 10 s")


def test_a_network_that_the_first_call_loads_is_noted(material: Material, tmp_path: Path) -> None:
    """Its checkpoint does not count: another one got these cells without a word."""
    file = tmp_path / "late.py"
    file.write_text(
        "import torch\nnet = None\ndef late(x):\n    global net\n"
        "    net = net or torch.nn.Linear(400, 3).eval()\n    return net(x[:, :400])\n"
    )
    options = RunOptions(
        models=(f"{file}:late",),
        labels=str(material.labels),
        sample_rate=16000,
        needles=str(material.clips),
        haystacks=("silence",),
        lengths_s=(10.0, 20.0),
        device="cpu",
        out=tmp_path / "run",
    )
    notes: list[str] = []
    run_sweep(options, notes.append)
    assert len([note for note in notes if "'late' loads net in its first call" in note]) == 1
