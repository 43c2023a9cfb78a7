"""A cell that ran out of memory: a result, until the same command finds more memory."""

from pathlib import Path
from typing import Any

import pytest

from niah.sweep.dry_run import planned_cells
from niah.sweep.inference import infer
from niah.sweep.loop import sweep
from niah.sweep.options import RunOptions
from tests.helpers import tiny


def test_the_same_command_tries_it_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights, clips = tiny.checkpoint(tmp_path), tiny.manifest(tmp_path, 3)
    options = RunOptions(
        models=(str(tiny.card(tmp_path)),),
        checkpoint=str(weights),
        needles=str(clips),
        haystacks=("zero",),
        lengths_s=(10.0, 12.0),
        device="cpu",
        out=tmp_path / "out",
    )
    passes: list[int] = []

    def short_of_memory(adapter: Any, scenes: Any, *rest: Any, **named: Any) -> Any:
        scenes = list(scenes)
        passes.append(scenes[0].shape[0])
        if scenes[0].shape[0] > 1100:
            raise MemoryError
        return infer(adapter, scenes, *rest, **named)

    with monkeypatch.context() as patch:
        patch.setattr("niah.sweep.evaluator.infer", short_of_memory)
        notes: list[str] = []
        table = sweep(options, notes.append)
    assert dict(zip(table["length_s"], table["status"], strict=True)) == {10.0: "ok", 12.0: "oom"}
    assert notes == ["tiny, zero, 12 s, position 0.5: oom: out of memory"]
    planned = planned_cells(options, lambda _: None)
    assert [(each.done, each.out_of_memory) for each in planned] == [(True, False), (False, True)]

    passes.clear()

    def counted(*arguments: Any, **named: Any) -> Any:
        passes.append(1)
        return infer(*arguments, **named)

    monkeypatch.setattr("niah.sweep.evaluator.infer", counted)
    notes.clear()
    table = sweep(options, notes.append)
    assert notes == ["tiny, zero, 12 s, position 0.5: ran out of memory before, is tried again"]
    assert passes == [1]
    assert list(table["status"]) == ["ok", "ok"]
    assert table["mAP"].notna().all()
    assert table["error"].isna().all()
