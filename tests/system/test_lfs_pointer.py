"""Files of a clone without git-lfs: each reader says what they are, in one line."""

from collections.abc import Callable
from pathlib import Path

import pytest

from niah.adapters.checkpoints import read_state
from niah.adapters.onnx_graph import OnnxGraph
from niah.audio import load
from niah.cards import find_model
from niah.errors import NiahError
from niah.exchange.predictions import read_predictions
from niah.haystacks import load_haystack
from niah.needles import load_needles
from niah.records.cell_table import read_csv
from niah.records.run_json import read_run_json
from niah.sweep.presets import read_preset
from niah.system.parquet_tables import read_parquet
from niah.training.recipes import read_recipe
from niah.vocabularies import vocabulary

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"


def needles(path: Path) -> object:
    return load_needles(path, vocabulary=vocabulary("esc-10"))


@pytest.mark.parametrize(
    ("name", "read"),
    [
        *[(f"clips.{kind}", needles) for kind in ("csv", "json", "parquet", "tar", "arrow")],
        ("labels.csv", vocabulary),
        ("clip.wav", lambda path: load(path, 16000)),
        ("street.flac", lambda path: load_haystack(path).sound(16000)),
        ("model.safetensors", read_state),
        ("model.pth", read_state),
        ("graph.onnx", lambda path: OnnxGraph(path, "graph")),
        ("model.toml", find_model),
        ("haystack.toml", load_haystack),
        ("recipe.toml", read_recipe),
        ("preset.toml", read_preset),
        ("run.json", read_run_json),
        ("cells.csv", read_csv),
        ("scores.parquet", read_parquet),
        *[(f"predictions.{kind}", read_predictions) for kind in ("csv", "jsonl", "parquet")],
    ],
)
def test_a_pointer_is_called_one(tmp_path: Path, name: str, read: Callable[[Path], object]) -> None:
    (tmp_path / name).write_bytes(POINTER)
    with pytest.raises(
        NiahError, match="is a Git LFS pointer, not the file: run `git lfs pull`"
    ) as said:
        read(tmp_path / name)
    assert name in str(said.value)
    assert str(said.value).isprintable()
