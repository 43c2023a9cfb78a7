"""`niah.run`: its keywords are typed, and they are the options of a run."""

import copy
import os
from dataclasses import fields
from inspect import signature
from pathlib import Path
from typing import Any, Unpack, get_type_hints

import numpy as np
import pandas as pd
import pytest
import torch

import niah
from niah.api import SHORT_NAMES, RunKeywords, _plain
from niah.errors import NiahError
from niah.sweep.options import RunOptions
from niah.system import torch_settings
from niah.vocabularies import vocabulary


def test_the_keywords_are_the_fields_of_the_options_and_their_short_names() -> None:
    options = {field.name for field in fields(RunOptions)} - {"objects"}
    assert set(get_type_hints(RunKeywords)) == options | set(SHORT_NAMES)
    assert set(SHORT_NAMES.values()) <= options
    assert not set(SHORT_NAMES) & options
    assert signature(niah.run).parameters["options"].annotation == Unpack[RunKeywords]


@pytest.mark.parametrize(("short", "field"), SHORT_NAMES.items())
def test_a_short_name_has_the_type_of_its_field(short: str, field: str) -> None:
    types = get_type_hints(RunKeywords)
    assert types[short] == types[field]


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("models", "dass-nano", ("dass-nano",)),
        ("models", Path("mine.toml"), ("mine.toml",)),
        ("lengths_s", 10, (10.0,)),
        ("lengths_s", range(10, 40, 10), (10.0, 20.0, 30.0)),
        ("distractors", [0, 3], (0, 3)),
        ("level", ["surround", "mix"], "surround,mix"),
        ("out", "runs/mine", Path("runs/mine")),
        ("babble", None, None),
        ("needles", Path("eval.csv"), "eval.csv"),
        ("checkpoint", None, None),
        ("models", (name for name in ("a", "b")), ("a", "b")),
        ("window_s", 10, 10.0),
        ("window_s", None, None),
        ("limit", 4.0, 4),
        ("device", torch.device("cpu"), "cpu"),
        ("dtype", torch.float16, "float16"),
        ("lengths_s", torch.tensor([10, 20]), (10.0, 20.0)),
    ],
)
def test_values_become_those_of_the_options(field: str, value: Any, expected: Any) -> None:
    assert _plain(field, value) == expected


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"limit": "4"}, "limit must be a whole number, got '4'"),
        ({"batch_size": "auto"}, "batch_size must be a whole number, got 'auto'"),
        ({"out": None}, "out must be text, got None"),
        ({"seed": 1.5}, "seed must be a whole number, got 1.5"),
        ({"needle_count": 1.5}, "needle_counts must be a whole number, got 1.5"),  # was 1
        ({"window": "10"}, "window_s must be a number, got '10'"),
        ({"strict": "no"}, "strict must be true or false, got 'no'"),
        ({"trust_remote_code": "no"}, "trust_remote_code must be true or false"),  # code was run
        ({"checkpoint": ""}, "checkpoint is empty"),  # of an unset variable: was the card's own
        ({"out": ""}, "out is empty"),
        ({"level": None}, "level must be text, got None"),
        ({"models": "a", "model": "b"}, "model is another name of an option that is given too"),
    ],
)
def test_values_of_other_types_are_refused_in_one_line(
    options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(NiahError) as refused:
        niah.run(**options)
    assert str(refused.value).startswith(reason)


def test_a_model_is_not_loaded_from_an_empty_path() -> None:
    with pytest.raises(NiahError, match="checkpoint is empty"):
        niah.load_model("dass-nano", checkpoint="")


def test_a_model_is_loaded_to_torchs_device_and_dtype() -> None:
    """They ended in a traceback of a regular expression."""
    adapter = niah.load_model("dass-nano", device=torch.device("cpu"), dtype=torch.float32)
    assert adapter.name == "dass-nano"


def test_weights_that_a_script_changes_are_no_longer_the_files(tmp_path: Path) -> None:
    """An ablated network had the cells of the released one, and gave it its own."""

    def scored() -> pd.DataFrame:
        few: Any = {"needles": "synthetic", "limit": 4, "haystacks": ["silence"], "lengths": [10]}
        return niah.run(models=[adapter], out=tmp_path / "run", **few)

    adapter: Any = copy.deepcopy(niah.load_model("aum-nano"))
    released = adapter.weights_sha256
    assert list(scored()["checkpoint_sha256"]) == [released]
    hook = adapter.network.register_forward_hook(lambda _, __, out: -out)
    table = scored().set_index("checkpoint_sha256")
    assert set(table.index) == {released, adapter.weights_sha256} != {released}
    assert table["mAP"].nunique() == 2
    assert "changed in memory" in adapter.weights_source
    hook.remove()
    assert len(scored()) == 2
    assert adapter.weights_sha256 == released


def test_a_callers_settings_of_torch_change_no_logit(tmp_path: Path) -> None:
    """Rows would say float32 of products in bfloat16, or of weights that went by way of it."""

    def tagger(waveforms: torch.Tensor) -> torch.Tensor:
        kinds.add((waveforms[:, :64] @ torch.ones(64, 25)).dtype)
        precisions.add(torch.get_float32_matmul_precision())
        return waveforms.unfold(1, 640, 640).std(dim=2)[:, :25]

    kinds: set[torch.dtype] = set()
    precisions: set[str] = set()
    plain = niah.load_model("aum-nano")
    torch.set_default_dtype(torch.bfloat16)
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu"), torch.device("meta"):
            loaded = niah.load_model("aum-nano")
            table = niah.run(
                models=[tagger],
                labels="synthetic",
                sample_rate=16000,
                needles="synthetic",
                limit=4,
                haystacks=["silence"],
                lengths=[10],
                out=tmp_path / "run",
            )
        assert torch.get_default_dtype() == torch.bfloat16
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_float32_matmul_precision("highest")
    assert set(table["status"]) == {"ok"}
    assert (kinds, precisions) == ({torch.float32}, {"highest"})
    features = plain.frontend(torch.linspace(-1, 1, 16000)[None])
    assert torch.equal(loaded.logits(features), plain.logits(features))


def test_a_run_that_ends_leaves_torchs_settings_to_those_of_other_threads() -> None:
    """The first of two threads gave the caller's dtype back, in which the other scored on."""
    runs = [torch_settings.fresh_settings() for _ in range(2)]
    torch.set_default_dtype(torch.bfloat16)
    try:
        for run in runs:
            run.__enter__()
        runs[0].__exit__(None, None, None)
        assert torch.get_default_dtype() == torch.float32
        runs[1].__exit__(None, None, None)
        assert torch.get_default_dtype() == torch.bfloat16
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_forked_process_has_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waited for ever for the threads of its parent, which a fork does not have."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with torch_settings.fresh_settings():
            assert torch.get_num_threads() == 2
        monkeypatch.setattr(torch_settings, "_IMPORTED_IN", os.getpid() + 1)
        with torch_settings.fresh_settings():
            assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(threads)


def test_values_of_other_libraries_are_taken_or_refused_in_one_line() -> None:
    assert _plain("lengths_s", "10,20") == (10.0, 20.0)
    assert _plain("lengths_s", np.array([10, 20])) == (10.0, 20.0)
    assert type(_plain("limit", np.int64(5))) is int
    for name, value in (("lengths_s", "ten"), ("labels", vocabulary("synthetic"))):
        with pytest.raises(NiahError, match=f"{name} must be"):
            _plain(name, value)
