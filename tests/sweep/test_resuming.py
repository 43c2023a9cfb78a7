"""Resuming and amending a run: finished cells stay, damaged ones are made again, order does not matter."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile

from niah.cli.status import status as print_status
from niah.records.status import status
from niah.sweep.evaluator import ModelEvaluator
from niah.sweep.loop import sweep
from niah.sweep.options import RunOptions
from niah.sweep.plan import plan
from niah.sweep.setup import EvalSetup
from tests.helpers import tiny
from tests.helpers.tiny_sweep import Material, cells_of, copied, state_of


def test_the_same_command_again_does_nothing_new(done: Path, material: Material) -> None:
    out = copied(done)
    before = state_of(out)
    material.run(out)
    assert state_of(out) == before


def test_more_lengths_and_models_keep_what_is_there(done: Path, material: Material) -> None:
    out = copied(done)
    before = state_of(out)
    table = material.run(out, lengths=[10, 12, 20, 30])
    assert set(table["length_s"]) == {10.0, 12.0, 20.0, 30.0}
    other = tiny.checkpoint(material.folder, seed=1)
    table = material.run(out, checkpoint=str(other), haystack="zero")
    assert table["checkpoint_sha256"].nunique() == 2
    after = state_of(out)
    assert {name: after[name] for name in before} == before
    assert len(table) == 5 + 2 + 3


def test_an_interrupted_run_knows_how_many_cells_it_lacks(
    material: Material, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = material.folder / "interrupted"
    scored: list[Any] = []
    score = ModelEvaluator.run

    def interrupted(model: ModelEvaluator, cells: Any, *rest: Any) -> Any:
        if len(scored) == 2:
            raise KeyboardInterrupt
        scored.append(cells)
        return score(model, cells, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(ModelEvaluator, "run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            material.run(out)
    assert (status(out).stored.total(), status(out).open_cells) == (2, 3)
    print_status(out)
    assert capsys.readouterr().out.splitlines() == [
        "cells     2 of 5",
        "process   none at work",
        "open      3 cells: the same `niah run`, or another shard's, goes on",
    ]
    material.run(out)
    assert (status(out).planned_cells, status(out).open_cells) == (5, 0)
    material.run(out, lengths=[30])  # what was made before counts
    assert (status(out).planned_cells, status(out).open_cells) == (7, 0)


def test_a_run_in_another_order_is_the_same(done: Path, material: Material) -> None:
    out = material.folder / "another-order"
    material.run(out, lengths=[20], haystack="gaussian")
    material.run(out, lengths=[12], haystack=["gaussian", "zero"])
    material.run(out)
    pd.testing.assert_frame_equal(cells_of(out), cells_of(done))


def test_the_committed_default_run_would_be_resumed_whole() -> None:
    """The keys of `results/embedded` are those of the default run: none of its cells would be computed again."""
    committed = pd.read_csv(tiny.REPOSITORY / "results" / "embedded" / "cells.csv")
    options = RunOptions()
    setup = EvalSetup(options)
    keys = set()
    for loaded in setup.loaded():
        model = ModelEvaluator(options, loaded, setup.device)
        keys |= {model.key(cell) for cell in plan(options, [loaded.name])}
    assert keys == set(committed["cell"])


def test_damaged_scores_are_made_again(done: Path, material: Material) -> None:
    out = copied(done)
    victim = sorted((out / "scores").glob("*.parquet"))[0]
    victim.write_bytes(victim.read_bytes()[:100])
    material.run(out)
    pd.testing.assert_frame_equal(cells_of(out), cells_of(done))


def test_a_model_of_another_name_and_the_same_weights_is_noted(
    done: Path, material: Material
) -> None:
    twin = tiny.card(material.folder / "twin", "twin")
    options = RunOptions(
        models=(str(twin),),
        checkpoint=str(material.weights),
        needles=str(material.clips),
        haystacks=("zero",),
        lengths_s=(10.0, 12.0),
        protocol="dass-v1",
        device="cpu",
        out=copied(done),
    )
    notes: list[str] = []
    table = sweep(options, notes.append)
    assert set(table["model"]) == {"tiny"}
    assert "model 'twin' has the network and weights of 'tiny'" in notes[-1]


@pytest.mark.parametrize("at_once", [True, False])
def test_haystacks_of_one_file_name_are_rows_of_their_own(
    tmp_path: Path, material: Material, at_once: bool
) -> None:
    rng = np.random.default_rng(0)
    recordings = []
    for name, rate in (("a/street.wav", 16000), ("b/street.flac", 8000), ("b/street.wav", 8000)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / name, 0.1 * rng.standard_normal(2 * rate), rate)
        recordings.append(str(tmp_path / name))
    out = tmp_path / "out"
    for recording in [recordings] if at_once else recordings:
        material.run(out, haystack=recording, lengths=[12], limit=3)
    table = pd.read_csv(out / "cells.csv").query("length_s == 12")
    names = sorted(table["haystack"])
    assert len(set(names)) == 3
    assert names[0] == ("a/street" if at_once else "b/street")
    assert names[-1].startswith("street")
    before = state_of(out)
    material.run(out, haystack=recordings[::-1], lengths=[12], limit=3)  # all are there already
    assert state_of(out) == before
    for recording in recordings:  # a run alone has the plain name, and the same scores
        alone = material.run(
            tmp_path / recording.replace("/", "-"), haystack=recording, lengths=[12], limit=3
        )
        row = alone.query("length_s == 12").iloc[0]
        assert row["haystack"] == "street"
        assert row["mAP"] in list(table["mAP"])


def test_a_haystack_changed_under_its_name_is_measured_again(
    tmp_path: Path, material: Material
) -> None:
    file = tmp_path / "street.wav"
    names = []
    for seed in (0, 1):
        noise = 0.1 * np.random.default_rng(seed).standard_normal(32000)
        soundfile.write(file, noise, 16000)
        table = material.run(tmp_path / "out", haystack=str(file), lengths=[12], limit=3)
        names.append(set(table["haystack"]) - {"none"})
    assert names[0] == {"street"}
    assert len(names[1]) == 2
