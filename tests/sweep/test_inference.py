"""The timing of a cell, scenes prepared beside it, and running out of memory, or being interrupted, anywhere."""

import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor

import niah
from niah.records.run_directory import RunDirectory
from niah.scenes.lazy import Scene
from niah.sweep.inference import InferenceResult, infer, is_large
from tests.helpers import tiny
from tests.helpers.preloaded import Preloaded

CPU = torch.device("cpu")
SECONDS = (100.0, 1.0, 2.0, 3.0, 50.0, 60.0, 70.0)  # of the passes that `Clocked` makes


class Clocked:
    """Takes `SECONDS` by a clock that nothing else moves; its logits are the first row."""

    labels = range(3)

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.passes = iter(SECONDS)
        self.shapes: list[tuple[int, ...]] = []
        monkeypatch.setattr("niah.sweep.inference.time.perf_counter", lambda: self.now)

    def logits(self, features: Tensor) -> Tensor:
        self.shapes.append(tuple(features.shape))
        self.now += next(self.passes)
        return features[:, 0]


def scenes(count: int = len(SECONDS), seed: int = 0) -> Iterator[Scene]:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        yield Scene.of_rows(torch.randn(5, 3, generator=generator))


def measured(
    adapter: Any, batch: int, ahead: bool | None, count: int = len(SECONDS)
) -> InferenceResult:
    return infer(adapter, scenes(count), batch, CPU, lambda _: None, ahead)


@pytest.mark.parametrize(
    ("ahead", "latency_s"),
    [
        (False, 26.5),  # median of all but the first: 1 2 3 50 60 70
        (None, 26.5),  # nothing is prepared beside a model on a CPU
        (True, 2.0),  # median of 1 2 3: scenes are prepared beside the later ones
    ],
)
def test_only_passes_with_nothing_beside_them_are_timed(
    monkeypatch: pytest.MonkeyPatch, ahead: bool | None, latency_s: float
) -> None:
    adapter = Clocked(monkeypatch)
    assert measured(adapter, 1, ahead).latency_s == latency_s
    assert adapter.shapes == [(1, 5, 3)] * 7


@pytest.mark.parametrize("ahead", [False, True])
def test_the_last_batch_may_be_smaller(monkeypatch: pytest.MonkeyPatch, ahead: bool) -> None:
    adapter = Clocked(monkeypatch)
    result = measured(adapter, 3, ahead)
    assert adapter.shapes == [(3, 5, 3), (3, 5, 3), (1, 5, 3)]
    assert result.latency_s == pytest.approx((1 / 3 + 2 / 1) / 2)
    rows = torch.stack([scene.whole()[0] for scene in scenes()])
    assert torch.equal(result.logits, rows)


def test_one_batch_is_timed_for_want_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    assert measured(Clocked(monkeypatch), 8, True, count=4).latency_s == 25.0


def test_large_is_an_eighth_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("niah.sweep.inference.usable_bytes", lambda: 4 << 30)
    assert not is_large(1, 1 << 20, 128)  # 512 MiB
    assert is_large(1, (1 << 20) + 1, 128)
    assert is_large(2, 1 << 20, 128)


# --- in a run


def options(out: Path, folder: Path) -> dict[str, Any]:
    return {
        "models": "dass-nano",
        "checkpoint": "random",
        "needles": str(tiny.manifest(folder)),
        "haystack": ["zero", "gaussian"],
        "lengths": [10, 20],
        "device": "cpu",
        "out": out,
    }


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A run without either, and what it was asked."""
    folder = tmp_path_factory.mktemp("plain")
    changes = options(folder / "run", folder)
    card = tiny.card(folder)
    changes |= {"models": str(card), "checkpoint": str(tiny.checkpoint(folder))}
    niah.run(**changes)
    return folder / "run", changes


def all_scores(run: Path) -> dict[str, Any]:
    return {
        file.stem: RunDirectory(run).read_scores(file.stem).logits.tobytes()
        for file in (run / "scores").glob("*.parquet")
    }


def test_scores_prepared_ahead_are_the_same_bits(
    plain: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []

    def ahead(
        adapter: Any, made: Any, size: int, device: Any, advance: Any, **_: Any
    ) -> InferenceResult:
        taken.append(1)
        return infer(adapter, made, size, device, advance, ahead=True, alone=1)

    monkeypatch.setattr("niah.sweep.evaluator.infer", ahead)
    run, changes = plain
    niah.run(**{**changes, "out": tmp_path / "ahead"})
    assert len(taken) == 4  # the needle alone, in noise at 10 s, and two longer scenes
    assert all_scores(tmp_path / "ahead") == all_scores(run)


def test_large_scenes_of_a_model_that_can_go_in_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = {"needles": "synthetic", "limit": 3, "checkpoint": None}
    changes = {**options(tmp_path / "whole", tmp_path), **clips}
    whole = niah.run(**changes)
    assert set(whole["kernel"]) == {"scan-cpu"}
    monkeypatch.setattr("niah.sweep.scorer.is_large", lambda clips, frames, mels: frames > 1024)  # noqa: ARG005
    blocks = niah.run(**{**changes, "out": tmp_path / "blocks"})
    assert dict(blocks.groupby("kernel").size()) == {"scan-cpu": 2, "scan-cpu+blocks": 2}
    assert set(blocks["status"]) == {"ok"}
    assert all_scores(tmp_path / "blocks") == all_scores(tmp_path / "whole")  # so, the same cells


# --- real faults and signals, in processes of their own

STARTED = """
import functools, resource, sys
import niah.cli, niah.sweep.inference, niah.sweep.evaluator
if sys.argv.pop(1) == "ahead":
    ahead = niah.sweep.inference.one_ahead
    niah.sweep.inference.one_ahead = lambda batches, alone: ahead(batches)  # the first too
    niah.sweep.evaluator.infer = functools.partial(niah.sweep.inference.infer, ahead=True)
spare = int(sys.argv.pop(1))
lines = open("/proc/self/status").read().splitlines()
size = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmSize"))
if spare:
    resource.setrlimit(resource.RLIMIT_AS, (size + spare * 2**20,) * 2)
niah.cli.main()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS holds on Linux alone")
@pytest.mark.parametrize("how", ["asked", "ahead"])
def test_a_scene_that_does_not_fit_is_a_result(
    how: str, preloaded: Preloaded, tmp_path: Path
) -> None:
    """A real one, in the making of the scene: 20,000 s take 1 GB where 0.7 GB are free; the next cells go on."""
    for name, hidden in (("one", 2), ("two", 3)):
        weights = tiny.checkpoint(tmp_path, hidden=hidden).name
        with tiny.card(tmp_path, name, hidden=hidden).open("a") as file:
            file.write(f'\n[weights.own]\nfile = "{weights}"\n')
    out = tmp_path / "out"
    models = ["--model", str(tmp_path / "one.toml"), "--model", str(tmp_path / "two.toml")]
    arguments = ["run", *models, "--needles", str(tiny.manifest(tmp_path)), "--limit", "3"]
    arguments += ["--haystack", "zero", "--lengths", "10,20,20000", "--out", str(out)]
    stdout, stderr = (process := preloaded.start(STARTED, how, 700, *arguments)).communicate(
        timeout=500
    )
    assert process.returncode == 0, stderr
    assert stderr.splitlines() == [
        f"note: {name}, zero, 20000 s, position 0.5: oom: out of memory" for name in ("one", "two")
    ]
    assert "report" in stdout
    table: Any = pd.read_csv(out / "cells.csv").set_index(["model", "length_s"])
    assert dict(table["status"]) == {
        (name, length_s): "oom" if length_s == 20_000 else "ok"
        for name in ("one", "two")
        for length_s in (10.0, 20.0, 20_000.0)
    }


def test_control_c_while_a_scene_is_prepared(preloaded: Preloaded, tmp_path: Path) -> None:
    card = tiny.card(tmp_path, delay_s=0.3)
    out = tmp_path / "out"
    arguments = ["run", "--model", str(card), "--checkpoint", str(tiny.checkpoint(tmp_path))]
    arguments += ["--needles", str(tiny.manifest(tmp_path)), "--haystack", "gaussian"]
    arguments += ["--lengths", "10,12,14,16", "--out", str(out)]
    process = preloaded.start(STARTED, "ahead", 0, *arguments)
    begin = time.monotonic()
    while not any((out / "cells").glob("*.json")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() - begin < 300
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 130
    assert (stdout, stderr.strip()) == (
        "",
        "niah: interrupted; the same command goes on from what is finished",
    )
    assert 1 <= len(pd.read_csv(out / "cells.csv")) < 4
