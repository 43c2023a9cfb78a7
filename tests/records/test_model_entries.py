"""Entries of models in run.json: each checkpoint of a name keeps its own."""

import json
from pathlib import Path

import pytest

from niah.errors import NiahError
from niah.records.merge import merge
from niah.records.model_entries import merged_models, model_entry
from niah.records.run_directory import RunDirectory
from tests.helpers import examples


def entry(sha256: str, **further: object) -> dict[str, object]:
    return {"checkpoint_sha256": sha256, "checkpoint": f"{sha256}.pth", **further}


def test_each_checkpoint_of_a_name_keeps_its_entry(tmp_path: Path) -> None:
    with RunDirectory.create_or_open(tmp_path / "a", examples.IDENTITY) as run:
        for sha256 in ("aa", "bb", "aa", "cc"):
            run.write_run_json({"models": {"ast": entry(sha256)}})
    with RunDirectory.create_or_open(tmp_path / "b", examples.IDENTITY) as run:
        run.write_run_json({"models": {"ast": entry("dd"), "aum": entry("ee")}})
    stored = RunDirectory(tmp_path / "a").run_json()
    assert stored["models"]["ast"]["checkpoint_sha256"] == "cc"  # the last one
    for sha256 in ("aa", "bb"):
        assert model_entry(stored, "ast", sha256) == entry(sha256)
    merge([tmp_path / "a", tmp_path / "b"], tmp_path / "all")
    merged = RunDirectory(tmp_path / "all").run_json()
    checkpoints = [model_entry(merged, "ast", s)["checkpoint"] for s in ("aa", "bb", "cc", "dd")]
    assert checkpoints == ["aa.pth", "bb.pth", "cc.pth", "dd.pth"]
    assert model_entry(merged, "ast", "unknown")["checkpoint_sha256"] == "cc"
    assert model_entry(merged, "none", "aa") == {}


def test_entries_without_weights_and_the_same_ones_replace_each_other() -> None:
    without = {"ast": entry("")}
    assert merged_models(without, {"ast": entry("aa")}) == {"ast": entry("aa")}
    assert merged_models({"ast": entry("aa")}, {"ast": entry("aa", parameters=3)}) == {
        "ast": entry("aa", parameters=3)
    }


def test_entries_of_another_type_are_named(tmp_path: Path) -> None:
    RunDirectory.create_or_open(tmp_path, examples.IDENTITY).close()
    file = tmp_path / "run.json"
    content = json.loads(file.read_text())
    wrong: tuple[object, ...] = ([], {"aa": 3})
    for others in wrong:
        models = {"ast": entry("bb", other_weights=others)}
        file.write_text(json.dumps({**content, "models": models}))
        with pytest.raises(NiahError, match=r"models\.ast\.other_weights.* must be an object"):
            RunDirectory(tmp_path)
