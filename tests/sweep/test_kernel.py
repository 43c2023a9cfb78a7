"""`--kernel`: another scan than the device's own, said in the rows, and never taken for it."""

import importlib.util
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

import niah
from niah.errors import NiahError
from niah.records.run_directory import RunDirectory
from niah.scan import Backend
from niah.scan.availability import check_available, other_than_auto
from niah.scan.triton import steps as triton_steps
from niah.sweep.options import KERNELS, RunOptions
from tests.helpers.command_line import Niah

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def run(out: Path, **options: Any) -> Any:  # a table; the types of pandas' look-ups are in the way
    requested = {"models": "dass-nano", "needles": "synthetic", "limit": 3, "device": "cpu"}
    return niah.run(**{**requested, "haystack": "zero", "lengths": [10, 12], "out": out, **options})


def cells(out: Path) -> dict[str, int]:
    """Every cell's file, with its time."""
    return {file.stem: file.stat().st_mtime_ns for file in (out / "cells").glob("*.json")}


def test_the_options_are_the_backends() -> None:
    assert set(KERNELS) == set(get_args(Backend))
    with pytest.raises(NiahError, match=r"--kernel 'tritn': unknown. Did you mean 'triton'\?"):
        RunOptions(kernel="tritn")


@pytest.fixture(scope="module")
def default(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("default") / "run"
    run(out)
    return out


def test_another_scan_is_another_run(default: Path, tmp_path: Path) -> None:
    out = tmp_path / "chunked"
    table = run(out, kernel="chunked")
    assert set(table["kernel"]) == {"scan-chunked"}
    assert set(table["status"]) == {"ok"}
    assert not set(table["cell"]) & set(cells(default))
    before = cells(out)
    run(out, kernel="chunked")
    assert cells(out) == before  # resumed
    with pytest.raises(
        NiahError, match=r"holds another run \(kernel is chunked there, absent now\)"
    ):
        run(out)
    with pytest.raises(NiahError, match=r"\(kernel is absent there, chunked now\)"):
        run(default, kernel="chunked")
    assert cells(out) == before


def test_scores_of_another_scan_are_near(default: Path, tmp_path: Path) -> None:
    out = tmp_path / "chunked"
    other = run(out, kernel="chunked").set_index("length_s")["cell"]
    own = RunDirectory(default).cells().set_index("length_s")["cell"]
    for length_s in (10.0, 12.0):
        one, two = RunDirectory(default), RunDirectory(out)
        scores = (
            one.read_scores(own[length_s]).probabilities,
            two.read_scores(other[length_s]).probabilities,
        )
        np.testing.assert_allclose(*scores, atol=1e-3)


def test_naming_the_scan_that_is_taken_anyway_changes_nothing(default: Path) -> None:
    before = cells(default)
    table = run(default, kernel="cpu")
    assert cells(default) == before
    assert set(table["kernel"]) == {"scan-cpu"}
    assert other_than_auto("cpu", CPU) is None
    assert other_than_auto("auto", CPU) is None
    assert other_than_auto("reference", CPU) == "reference"


def test_a_model_without_scans_is_told_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(NiahError, match="'ast-sin-nano' has no scan to choose"):
        run(tmp_path / "out", models=["dass-nano", "ast-sin-nano"], kernel="reference")
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(importlib.util.find_spec("mamba_ssm") is not None, reason="it is installed")
def test_a_scan_that_is_not_installed_is_one_line(niah: Niah, tmp_path: Path) -> None:
    arguments = ["--model", "dass-nano", "--kernel", "mamba_ssm", "--out", str(tmp_path / "out")]
    assert niah("run", *arguments).refusal() == (
        "--kernel mamba_ssm: the package mamba-ssm is not installed; use --kernel auto"
    )
    assert not (tmp_path / "out").exists()


def test_what_runs_on_another_device_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NiahError, match="--kernel cpu does not run on cuda"):
        check_available("cpu", CUDA)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    with pytest.raises(NiahError, match="--kernel mamba_ssm needs a CUDA device"):
        check_available("mamba_ssm", CPU)
    check_available("mamba_ssm", CUDA)
    for kernel in ("auto", "reference", "chunked", "cpu"):
        check_available(kernel, CPU)
    monkeypatch.setattr(triton_steps, "interpreted", lambda: False)
    with pytest.raises(NiahError, match="the triton scan needs a CUDA device"):
        check_available("triton", CPU)
    check_available("triton", CUDA)
