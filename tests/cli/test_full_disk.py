"""A full disk: one clear line, nothing half-written, whatever is finished stays."""

import json
import re
import resource
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.helpers.command_line import Material, Niah


def test_a_full_disk_is_one_line_and_the_rest_is_whole(
    niah: Niah, material: Material, small_disk: Path
) -> None:
    out = small_disk / "out"
    line = niah(*material.run(out), "--lengths", "12,13,14,15,16,17,18,19,20").refusal()
    assert "no space left" in line
    assert str(small_disk) in line
    assert not [file for file in out.rglob("*") if file.name.endswith(".tmp")]
    rows, scores = list(out.glob("cells/*.json")), list(out.glob("scores/*.parquet"))
    assert rows
    assert len(scores) >= len(rows)
    for file in rows:
        assert json.loads(file.read_text())["row"]["status"] == "ok"
    for file in scores:
        assert len(pd.read_parquet(file)) == 6


def test_a_full_cache_is_a_note(
    niah: Niah,
    material: Material,
    small_disk: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NIAH_CACHE", str(small_disk / "cache"))
    answer = niah(*material.run(tmp_path / "out"))
    assert answer.status == 0
    (line,) = answer.stderr.splitlines()
    assert line.startswith("note: no space left for ")
    assert line.endswith(": clips are read again for every cell, which is slower")
    assert not list(small_disk.rglob("*.features"))


def test_a_disk_too_small_for_training_features_is_one_line(
    niah: Niah,
    material: Material,
    small_disk: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not a crash: they are written through a memory map."""
    monkeypatch.setenv("NIAH_CACHE", str(small_disk / "cache"))
    recipe = tmp_path / "recipe.toml"
    clips = f'train = "{material.clips}"\nvalidation = "{material.clips}"\n'
    recipe.write_text(f'model = "{material.card}"\n{clips}')
    for _ in range(2):  # the second finds what the first left
        assert "no space left" in niah("train", recipe, "--out", tmp_path / "out").refusal()
    assert not (tmp_path / "out").exists()
    left = sorted(file.name for file in (small_disk / "cache").rglob("*") if file.is_file())
    assert len(left) == 2
    lock, checked = sorted(left, key=lambda name: name.startswith("checked-"))
    assert re.fullmatch(r"checked-[0-9a-f]{24}\.json", checked)  # which clips are usable
    assert re.fullmatch(r"[0-9a-f]{24}\.lock", lock)  # and no features without their disk space


@pytest.mark.skipif(sys.platform == "win32", reason="RLIMIT_FSIZE is POSIX")
def test_a_file_that_may_not_grow_is_one_line(
    niah: Niah, material: Material, tmp_path: Path
) -> None:
    """The same as a full disk, without mounting one: no file may pass 2 KiB."""
    assert niah(*material.run(tmp_path / "first")).status == 0  # the cache is filled
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, hard))
    try:
        line = niah(*material.run(tmp_path / "out")).refusal()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert f"cannot write to {tmp_path / 'out'}" in line
    assert "too large" in line
    assert not list((tmp_path / "out").rglob("*.tmp"))
