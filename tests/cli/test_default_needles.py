"""`niah run --model NAME` without --needles: clips of the model's labels are fetched; random weights need none."""

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
import torch
from safetensors.torch import save

from niah.adapters.loading import make_adapter
from niah.cards import known_models, read_model_card
from niah.errors import NiahError
from niah.needles import load_needles
from niah.needles.defaults import AUDIOSET_EVALUATION, EMBEDDED, default_needles
from niah.vocabularies import vocabulary
from tests.helpers.clip_files import flac_bytes
from tests.helpers.command_line import Niah
from tests.helpers.loopback_hub import LoopbackHub, Repository, serving_hub, use_endpoint

SPEC_COMMIT = AUDIOSET_EVALUATION.rpartition("@")[2]
CARD = """
name = "small-dass"
adapter = "niah.adapters.dass:Dass"
labels = "audioset-527"

[config]
depths = [1, 1, 1, 1]
dims = [8, 8, 8, 8]
stem = [4, 8]

[weights.own]
hub = "someone/small-dass"
"""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    """A hub with the default set in small, and the weights of a small DASS."""
    monkeypatch.setenv("NIAH_CACHE", str(tmp_path / "niah"))
    with serving_hub(tmp_path / "hub", monkeypatch) as server:
        yield server


@pytest.fixture
def card(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(CARD)
    return path


def fill(hub: LoopbackHub, card: Path, tmp_path: Path) -> None:
    columns = {
        "audio": [
            {"bytes": flac_bytes(tmp_path, 300.0 + 90 * i), "path": f"c{i}.flac"} for i in range(4)
        ],
        "labels": [["/m/09x0r"], ["/m/04rlf"], ["/m/0bt9lr"], ["/m/09x0r", "/m/04rlf"]],
    }
    stream = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), stream)
    files = {"data/test-00000-of-00001.parquet": stream.getvalue()}
    hub.repositories["datasets/mteb/audioset"] = Repository(
        files, {"license": "cc-by-4.0"}, SPEC_COMMIT
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = make_adapter(read_model_card(card)).network
        state = {
            name: torch.randn(each.shape) * 0.05 for name, each in network.state_dict().items()
        }
    hub.repositories["models/someone/small-dass"] = Repository({"model.safetensors": save(state)})


def test_end_to_end_weights_and_needles_from_the_hub(
    niah: Niah, hub: LoopbackHub, card: Path, tmp_path: Path
) -> None:
    fill(hub, card, tmp_path)
    out = tmp_path / "run"
    command = ("run", "--model", card, "--lengths", "10,12", "--haystack", "zero", "--out", out)
    answer = niah(*command, "--device", "cpu")
    assert answer.status == 0, answer.stderr
    assert "licence cc-by-4.0 (dataset card of mteb/audioset)" in answer.stderr
    stored = json.loads((out / "run.json").read_text())
    assert stored["needles"]["pinned"] == f"{AUDIOSET_EVALUATION}/test"
    assert stored["arguments"]["needles"] == f"{AUDIOSET_EVALUATION}/test"
    assert stored["identity"]["needles"] == "hf:mteb/audioset@168a7e6/test"
    assert stored["needles"]["clips"] == 4
    fetched = len(hub.fetched())
    assert niah(*command, "--device", "cpu").status == 0  # resumed
    assert len(hub.fetched()) == fetched == 2


@pytest.mark.parametrize("model", ["dass-medium", "ast", "eat-base"])
def test_without_a_network_one_line_names_what_is_missing(
    niah: Niah, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, model: str
) -> None:
    del hub
    use_endpoint("http://127.0.0.1:9", monkeypatch)
    begin = time.monotonic()
    out = tmp_path / "run"
    line = niah("run", "--model", model, "--lengths", "10,50,300,9000", "--out", out).refusal()
    assert time.monotonic() - begin < 5
    assert "needles hf:mteb/audioset: cannot be fetched: http://127.0.0.1:9 does not answer" in line
    assert f"the weights of '{model}' are not here either" in line
    assert "--needles FILE" in line
    assert "`hf download " in line.rpartition("168a7e6")[2]
    assert "hf download mteb/audioset --repo-type dataset --revision 168a7e6" in line
    assert not out.exists()


def test_weights_that_no_program_fetches_are_named_before_needles_are_fetched(
    niah: Niah, hub: LoopbackHub, tmp_path: Path
) -> None:
    for model, reason in {
        "ast-sin-base": "has no released weights: give --checkpoint FILE",
        "dass-medium:official": "Get DASS_medium.pth at https://github.com/",
    }.items():
        assert reason in niah("run", "--model", model, "--out", tmp_path / "run").refusal()
    assert not hub.requests


def test_random_weights_need_no_network(
    niah: Niah, hub: LoopbackHub, card: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    answer = niah(
        *("run", "--model", card, "--checkpoint", "random", "--lengths", "10,12", "--limit", 2),
        *("--haystack", "zero", "--device", "cpu", "--out", out),
    )
    assert answer.status == 0, answer.stderr
    assert "under labels that are not theirs: speed and memory only" in answer.stderr
    assert not hub.requests


def test_every_card_has_default_needles() -> None:
    for name, card in known_models().items():
        labels = vocabulary(card.labels_source)
        if labels.name in ("esc-10", "esc-50"):
            with pytest.raises(NiahError, match="no default needles with the labels 'esc"):
                default_needles(labels)
        else:
            wanted = EMBEDDED if labels.name == "synthetic" else AUDIOSET_EVALUATION
            assert default_needles(labels) == wanted, name
        spec = default_needles(labels, random=True)
        clips = load_needles(spec, vocabulary=labels, limit=30, stand_in=True)
        assert len({label for clip in clips.needles for label in clip.labels}) > 5
