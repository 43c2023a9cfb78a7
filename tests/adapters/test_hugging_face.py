"""Models of `transformers`: by hub id and from folders, with tiny random models and a hub of this machine."""

import hashlib
import importlib.util
import json
import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr
import torch
from safetensors.torch import load_file, save_file

import niah
from niah.adapters.loading import load_model, load_source
from niah.adapters.model_source import ModelRequest
from niah.adapters.sources import find_source
from niah.adapters.transformers_length import extracted, fixed_seconds, hears_end
from niah.adapters.transformers_model import log_odds
from niah.cli import main
from niah.errors import NiahError
from niah.needles import synthetic
from niah.records.run_directory import RunDirectory
from niah.vocabularies import vocabulary
from tests.helpers import tiny, tiny_transformers
from tests.helpers.loopback_hub import LoopbackHub, Repository, serving_hub, use_endpoint

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None, reason="needs transformers: pip install it"
)

PAGE = tiny.REPOSITORY / "docs" / "your-model.md"
NAMES = ("low", "middle", "high")
CODE = """
from transformers import ASTConfig, ASTForAudioClassification

class OwnConfig(ASTConfig):
    model_type = "own-ast"

class OwnModel(ASTForAudioClassification):
    config_class = OwnConfig
"""


@dataclass(frozen=True)
class Hub:
    """The hub, the folder of its models, labelled clips and their labels."""

    site: LoopbackHub
    folder: Path
    clips: Path
    labels: Path

    def run(self, out: str, model: object, **given: Any) -> Any:
        options: dict[str, Any] = {"labels": self.labels, "needles": self.clips, "device": "cpu"}
        options |= {"haystacks": ["silence"], "lengths": [10], "limit": 2}
        return niah.run(model=str(model), out=self.folder / out, **{**options, **given})

    def copy(self, name: str, of: str, **changes: Any) -> Path:
        """Copy a model's folder, with another configuration."""
        target = self.folder / name
        target.mkdir()
        for file in (self.folder / of).iterdir():
            (target / file.name).write_bytes(file.read_bytes())
        tiny_transformers.edit(target, **changes)
        self.publish(name)
        return target

    def publish(self, name: str, *, gated: bool = False) -> None:
        """Put a folder's files on the hub, as `tests/NAME`."""
        folder = self.folder / name
        files = {file.name: file.read_bytes() for file in folder.iterdir()}
        commit = hashlib.sha1(name.encode()).hexdigest()
        self.site.repositories[f"models/tests/{name}"] = Repository(files, {}, commit, gated)

    def commit(self, name: str) -> str:
        return self.site.repositories[f"models/tests/{name}"].commit

    def fetched(self) -> set[str]:
        """Names of the files whose content was sent."""
        return {path.rpartition("/")[2] for path in self.site.fetched()}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder = tmp_path_factory.mktemp("hub")
    clips = tiny.manifest(folder / "clips", 3)
    labels = tiny.card(folder).parent / "labels.csv"
    with (
        pytest.MonkeyPatch.context() as patch,
        serving_hub(folder / "cache", patch) as site,
    ):
        made = Hub(site, folder, clips, labels)
        tiny_transformers.ast(folder / "ast", vocabulary("audioset-527").names, layer_norm_eps=1e-6)
        tiny_transformers.wav2vec2(folder / "wave", NAMES)
        tiny_transformers.clap(folder / "clap")
        tiny_transformers.ast(folder / "three", ["HIGH", "low", "x"])
        for name in ("ast", "wave", "three"):
            made.publish(name)
        yield made


def clip(rate: int, seconds: int = 10) -> torch.Tensor:
    samples, _ = synthetic.clip("evaluation", 1, sample_rate=rate)
    return torch.from_numpy(np.asarray(samples, np.float32))[: seconds * rate]


def rows(waveform: torch.Tensor, rate: int) -> torch.Tensor:
    return waveform.reshape(1, -1, rate // 100)


# --- what is computed


def test_an_ast_by_its_hub_id_equals_our_own(hub: Hub, tmp_path: Path) -> None:
    """The same weights by the hub's extractor and network, and by this package's: logits of 10 s to 1e-4."""
    theirs: Any = load_model("hf:tests/ast")
    assert theirs.labels is vocabulary("audioset-527")
    assert theirs.fixed_seconds == 10.24
    theirs.model.network.classifier.layernorm.eps = (
        1e-5  # the official head's; no entry of the hub's configuration
    )
    card = tmp_path / "mine.toml"
    card.write_text(
        'name = "mine"\nadapter = "niah.adapters.ast:Ast"\nlabels = "audioset-527"\n'
        "[config]\nwidth = 32\nheads = 2\ndepth = 2\n"
    )
    ours = load_model(card, checkpoint=hub.folder / "ast" / "model.safetensors")
    waveform = clip(16000)
    one = theirs.logits(rows(waveform, 16000))
    other = ours.logits(ours.frontend.needle(waveform)[None])
    assert float(other.std()) > 0.05
    torch.testing.assert_close(one, other, atol=1e-4, rtol=0)
    assert theirs.weights_sha256 == ours.weights_sha256  # type: ignore[attr-defined]


def test_a_softmax_head_scores_its_probabilities_of_scenes_of_any_length(hub: Hub) -> None:
    hub.copy("single", "wave", problem_type="single_label_classification")
    source = find_source("hf:tests/single", ModelRequest(labels=str(hub.labels)))
    assert "its scores are a softmax's" in source.notes[-1]
    assert source.record["scores"] == "softmax"
    softmax, plain = load_source(source), load_model(hub.folder / "wave")
    assert softmax.labels.ids == tiny.IDS
    assert plain.labels.ids == NAMES  # no vocabulary has nearly all of them
    assert find_source("hf:tests/three", ModelRequest(labels="model")).labels.names[0] == "HIGH"
    scene = clip(16000).repeat(3)
    normal = (scene - scene.mean()) / (scene.var(correction=0) + 1e-7).sqrt()
    network: Any = plain.model.network  # type: ignore[attr-defined]
    with torch.inference_mode():
        expected = network(input_values=normal[None]).logits
    torch.testing.assert_close(plain.logits(rows(scene, 16000)), expected, atol=1e-4, rtol=0)
    probabilities = torch.sigmoid(softmax.logits(rows(scene, 16000)))
    torch.testing.assert_close(probabilities, expected.softmax(dim=1), atol=1e-5, rtol=0)
    sure = torch.tensor([[40.0, 0.0, -3.0]])
    assert torch.allclose(log_odds(sure)[0, 0], 40 - torch.tensor([0.0, -3.0]).logsumexp(0))


def test_a_rate_without_whole_samples_in_10_ms_is_resampled_to(hub: Hub) -> None:
    folder = hub.copy("odd", "wave")
    tiny_transformers.edit(folder, "preprocessor_config.json", sampling_rate=22050)
    adapter: Any = load_model(folder)
    assert adapter.sample_rate == 44100
    scene = clip(44100)
    half = soxr.resample(scene.numpy(), 44100, 22050, quality="HQ")
    inputs = adapter.model.extractor([half], sampling_rate=22050, return_tensors="pt")
    with torch.inference_mode():
        expected = adapter.model.network(**inputs).logits
    torch.testing.assert_close(adapter.logits(rows(scene, 44100)), expected, atol=1e-4, rtol=0)
    tiny_transformers.edit(folder, "preprocessor_config.json", sampling_rate=16001)
    with pytest.raises(NiahError, match="model odd: its feature extractor takes 16001 Hz, of"):
        load_model(folder)


@pytest.mark.parametrize("fusion", [False, True])
def test_clap_scores_the_names_of_the_classes_in_a_prompt(
    hub: Hub, tmp_path: Path, fusion: bool
) -> None:
    """The logits are `ClapModel`'s own for the same texts; a clip's do not depend on its batch."""
    from transformers import AutoTokenizer

    folder = (
        tiny_transformers.clap(tmp_path / "fused", fusion=True) if fusion else hub.folder / "clap"
    )
    request = ModelRequest(labels=str(hub.labels), prompt="a {} one")
    model: Any = load_source(find_source(folder, request))
    assert (model.fixed_seconds, model.sample_rate, model.labels.ids) == (10, 48000, tiny.IDS)
    waveform = clip(48000)
    texts = AutoTokenizer.from_pretrained(folder)(
        [f"a {name} one" for name in NAMES], padding=True, return_tensors="pt"
    )
    sound = model.model.extractor(waveform.numpy(), sampling_rate=48000, return_tensors="pt")
    with torch.inference_mode():
        expected = model.model.network(
            input_ids=texts["input_ids"],
            attention_mask=texts["attention_mask"],
            input_features=sound["input_features"],
            is_longer=torch.zeros(1, 1, dtype=torch.bool),
        ).logits_per_audio
    both = model.logits(torch.cat([rows(waveform, 48000), rows(waveform.flip(0), 48000)]))
    torch.testing.assert_close(both[:1], expected, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(both[0], both[1])
    other = find_source(folder, ModelRequest(labels=str(hub.labels)))
    assert other.record["prompt"] == "this is a sound of {}"
    with pytest.raises(NiahError, match="--prompt is of text models, and there is none"):
        hub.run("prompted", hub.folder / "three", prompt="a {} one")
    assert other.card.fingerprint != find_source(folder, request).card.fingerprint


class Cropping:
    """A feature extractor that is not known here: it cuts to `longest_s` without a word."""

    sampling_rate = 1000

    def __init__(self, longest_s: float) -> None:
        self.longest = round(1000 * longest_s)

    def __call__(self, waves: list[Any], **_: Any) -> dict[str, torch.Tensor]:
        return {"input_values": torch.from_numpy(np.stack(waves))[:, : self.longest]}


def test_a_crop_that_nobody_declares_is_noticed() -> None:
    import transformers

    assert fixed_seconds(Cropping(5), 1000) == 5
    assert fixed_seconds(Cropping(100), 1000) is None
    assert hears_end(Cropping(100), 100_000, 1000)
    assert fixed_seconds(transformers.WhisperFeatureExtractor(), 16000) == 30
    assert fixed_seconds(transformers.SeamlessM4TFeatureExtractor(), 16000) is None
    assert not hears_end(Cropping(100), 101_000, 1000)


# --- runs


def test_a_hub_id_is_one_command_to_a_table(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of the model's length unless given, all of it in run.json; later runs need no network."""
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    folder = hub.copy("tagger", "three")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# A tagger\n")
    (folder / "notes.bin").write_bytes(b"not wanted")
    hub.publish("tagger")
    (line,) = (line for line in PAGE.read_text().splitlines() if "--model hf:MIT/" in line)
    words = {
        "hf:MIT/ast-finetuned-audioset-10-10-0.4593": "hf:tests/tagger@main",
        "clips.csv": str(hub.clips),
        "runs/hub": str(hub.folder / "one"),
        "10,50": "10,12",
    }
    typed = [words.pop(word, word) for word in shlex.split(line)]
    assert not words
    typed += ["--labels", str(hub.labels), "--limit", "2", "--device", "cpu"]
    monkeypatch.setattr("sys.argv", typed)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code in (0, None)
    table = RunDirectory(hub.folder / "one").cells()
    assert list(table["status"]) == ["ok"] * 2
    assert set(table["model"]) == {"hf:tests/tagger"}
    assert set(table["window_s"]) == {10.24}
    assert set(table["kernel"]) == {"transformers-sdpa"}
    assert "custom_code" not in table
    stored = json.loads((hub.folder / "one" / "run.json").read_text())
    (entry,) = stored["models"].values()
    assert entry["revision"] == hub.commit("tagger")
    assert (entry["licence"], entry["scores"]) == ("mit", "sigmoid")
    assert entry["checkpoint_sha256"] == table["checkpoint_sha256"].iloc[0]
    assert entry["labels_mapping"]["guessed"] == {"HIGH": "high"}
    assert entry["labels_mapping"]["unmapped"] == ["x"]
    assert stored["identity"]["labels"] == "labels, 2 of 3 classes"
    notes = "\n".join(stored["notes"])
    assert "takes 10.24 s at a time: it is scored over windows of 10.24 s" in notes
    assert "labels without a class, not scored (1): x" in notes
    assert hub.fetched() >= {"config.json", "model.safetensors", "README.md"}
    assert "notes.bin" not in hub.fetched()
    assert hub.site.tokens >= {"Bearer hf_secret"}
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    asked = len(hub.site.requests)
    again = hub.run("one", "hf:tests/tagger", lengths=[10, 12], window=10)
    assert len(again) == 4
    assert len(hub.site.requests) == asked


def test_a_pinned_commit_in_the_cache_asks_nobody_and_a_dry_run_fetches_no_weights(
    hub: Hub,
) -> None:
    from niah.sweep.dry_run import planned_cells
    from niah.sweep.options import RunOptions

    spec = f"hf:tests/wave@{hub.commit('wave')}"
    hub.site.requests.clear()
    notes: list[str] = []
    options = RunOptions(
        models=(spec,),
        labels=str(hub.labels),
        needles=str(hub.clips),
        haystacks=("silence",),
        lengths_s=(10.0,),
        device="cpu",
        out=hub.folder / "dry",
    )
    cells = planned_cells(options, notes.append)
    assert [cell.done for cell in cells] == [False]
    assert "the weights of 'hf:tests/wave' are not on this machine: the run fetches them" in notes
    assert not any(name.endswith(".safetensors") for name in hub.fetched())
    load_model(spec)
    assert sum(name.endswith(".safetensors") for name in hub.fetched()) > 1
    asked = len(hub.site.requests)
    load_model(spec)
    assert len(hub.site.requests) == asked


def test_custom_code_runs_if_it_is_trusted_and_is_in_every_row(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "transformers.dynamic_module_utils.HF_MODULES_CACHE", str(hub.folder / "modules")
    )
    monkeypatch.syspath_prepend(str(hub.folder / "modules"))
    auto = {"AutoConfig": "own.OwnConfig", "AutoModelForAudioClassification": "own.OwnModel"}
    folder = hub.copy("own", "three", model_type="own-ast", auto_map=auto)
    (folder / "own.py").write_text(CODE)
    hub.publish("own")
    with pytest.raises(
        NiahError, match=r"Python code of its own \(own\.py\): read it, then add --tr"
    ):
        find_source("hf:tests/own")
    table = hub.run("own-run", "hf:tests/own", trust_remote_code=True)
    assert list(table["status"]) == ["ok"]
    (code,) = set(table["custom_code"])
    assert len(code) == 16
    stored = json.loads((hub.folder / "own-run" / "run.json").read_text())
    assert stored["arguments"]["trust_remote_code"] is True
    assert stored["models"]["hf:tests/own"]["custom_code"] == ["own.py"]
    tiny_transformers.edit(folder, auto_map={"AutoConfig": "else/where--own.OwnConfig"})
    with pytest.raises(NiahError, match="its code is in another repository, else/where"):
        find_source(folder, ModelRequest(trust_remote_code=True))


OWN_ANSWERS = """
from transformers import Wav2Vec2Config, Wav2Vec2ForSequenceClassification

class OwnConfig(Wav2Vec2Config):
    model_type = "own-answers"

class OwnModel(Wav2Vec2ForSequenceClassification):
    config_class = OwnConfig

    def forward(self, input_values, **more):
        out = super().forward(input_values, **more)
        out.logits = {}
        return out
"""


@pytest.mark.parametrize("is_probable", [True, False])
def test_probabilities_under_the_name_of_logits_are_scored_once(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_probable: bool
) -> None:
    """A repository's own code may apply the sigmoid itself, as CED's does: no second one follows."""
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "m"))
    monkeypatch.syspath_prepend(str(tmp_path / "m"))
    name = "sigmoids" if is_probable else "plain"
    auto = {"AutoConfig": "own.OwnConfig", "AutoModelForAudioClassification": "own.OwnModel"}
    folder = hub.copy(name, "wave", model_type="own-answers", auto_map=auto)
    expression = "out.logits.sigmoid()" if is_probable else "out.logits"
    (folder / "own.py").write_text(OWN_ANSWERS.format(expression))
    own: Any = load_source(find_source(folder, ModelRequest(trust_remote_code=True)))
    expected = load_model(hub.folder / "wave").logits(rows(clip(16000), 16000))
    assert float(expected.amin()) < 0
    torch.testing.assert_close(own.logits(rows(clip(16000), 16000)), expected, atol=1e-4, rtol=0)
    assert ("its outputs are probabilities" in own.weights_source) == is_probable


class Relative:
    """A feature extractor that takes the loudest of all its clips off each, as CED's does through top_db."""

    def __call__(self, waves: list[Any], **_: Any) -> dict[str, Any]:
        together = np.stack(waves)
        return {"input_values": torch.from_numpy(together - together.max()), "rate": 16000}


def test_features_of_a_clip_do_not_depend_on_its_company() -> None:
    waves = np.array([[0.1, 0.2, 0.0], [5.0, 1.0, 2.0]], np.float32)
    together = extracted(Relative(), waves, 16000)
    assert set(together) == {"input_values"}
    for wave, features in zip(waves, together["input_values"], strict=True):
        alone = extracted(Relative(), wave[None], 16000)["input_values"]
        assert torch.equal(features, alone[0])
        assert float(features.amax()) == 0


LIMITED = """
import torch
from transformers import Wav2Vec2Config, Wav2Vec2ForSequenceClassification

class OwnConfig(Wav2Vec2Config):
    model_type = "own-limited"

class OwnModel(Wav2Vec2ForSequenceClassification):
    config_class = OwnConfig

    def forward(self, input_values, **more):
        torch.zeros(12 * 16000)[input_values.shape[1] - 1]  # as a table of positions
        return super().forward(input_values, **more)
"""


def test_a_network_whose_positions_end_is_run_over_windows(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "transformers.dynamic_module_utils.HF_MODULES_CACHE", str(hub.folder / "modules")
    )
    monkeypatch.syspath_prepend(str(hub.folder / "modules"))
    auto = {"AutoConfig": "lim.OwnConfig", "AutoModelForAudioClassification": "lim.OwnModel"}
    folder = hub.copy("limited", "wave", model_type="own-limited", auto_map=auto)
    (folder / "lim.py").write_text(LIMITED)
    table = hub.run("limited-run", folder, trust_remote_code=True, lengths=[10, 20])
    assert list(table["status"]) == ["ok", "ok"]
    assert set(table["window_s"]) == {12}
    notes = json.loads((hub.folder / "limited-run" / "run.json").read_text())["notes"]
    assert "model 'limited' takes 12 s at a time: it is scored over windows of 12 s" in notes
    native = hub.run("native", folder, trust_remote_code=True, lengths=[10, 20], window=20)
    assert "does not" not in str(native.iloc[0]["error"])
    assert "crops to 12 s, so 20 s have no native mode: add --window 12" in native.iloc[1]["error"]


def test_a_network_that_no_input_fits_is_refused_when_it_is_loaded(hub: Hub) -> None:
    said = refusal(hub.copy("half", "three", max_length=512))
    assert "in another shape (audio_spectrogram_transformer.embeddings.position_embeddings" in said
    tiny_transformers.ast(hub.folder / "short", NAMES, max_length=512)
    said = refusal(hub.folder / "short")
    assert "its network refuses what its feature extractor makes of 10 s (RuntimeError: The" in said
    assert said.endswith("do config.json and preprocessor_config.json belong together?")
    wave: Any = load_model(hub.folder / "wave")
    wave.model.network = lambda **inputs: torch.zeros(1)[inputs["input_values"].shape[1]]
    with pytest.raises(NiahError, match=r"take inputs of 20 s \(IndexError: .*other --lengths"):
        wave.logits(torch.zeros(1, 2000, 160))


# --- what is refused, in one line


def refusal(spec: object, **request: Any) -> str:
    with pytest.raises(NiahError) as caught:
        load_source(find_source(spec, ModelRequest(**request)))
    assert str(caught.value).isprintable()
    return str(caught.value)


def test_what_the_hub_refuses_is_said(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "has no such repository (a private one needs HF_TOKEN)" in refusal("hf:tests/nothing")
    assert "it has no revision 'v9'" in refusal("hf:tests/ast@v9")
    assert "a hub repository reads OWNER/NAME" in refusal("hf:tests")
    assert "is written hf:tests/ast" in refusal("tests/ast")
    (hub.folder / "empty").mkdir()
    hub.publish("empty")
    hub.copy("gated", "three")
    hub.publish("gated", gated=True)
    assert "it has no config.json" in refusal("hf:tests/empty")
    assert "it is gated: ask for access at http://127" in refusal("hf:tests/gated")
    assert "the folder has no config.json" in refusal(hub.folder / "empty")
    with monkeypatch.context() as patch:
        use_endpoint("http://127.0.0.1:9", patch)
        start = time.monotonic()
        said = refusal("hf:tests/never-seen")
        assert time.monotonic() - start < 5
        assert "127.0.0.1:9 does not give it" in said
        assert said.endswith("set HF_HUB_OFFLINE=1")
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        assert "HF_HUB_OFFLINE is set, and the file is not in the cache" in refusal("hf:a/b")


def test_models_that_score_no_classes_are_refused_before_their_weights(hub: Hub) -> None:
    tiny_transformers.wav2vec2(hub.folder / "bare", NAMES, kind="Wav2Vec2Model")
    assert "Wav2Vec2Model has no classification head" in refusal(hub.folder / "bare")
    tiny_transformers.edit(hub.folder / "bare", architectures=["Wav2Vec2ForSequenceClassification"])
    assert "its weights lack" in refusal(hub.folder / "bare")
    other = hub.copy("other", "three", id2label={"0": "low"})
    assert "in another shape (classifier.dense" in refusal(other)
    tiny_transformers.edit(other, id2label={"0": "low", "2": "high"})
    assert "must count 0, 1, 2, .." in refusal(other)
    (other / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../b"}}')
    (other / "model.safetensors").unlink()
    tiny_transformers.edit(other, id2label={"0": "low"})
    assert "names a folder" in refusal(other)
    assert "none of its 3 labels (low, middle, high, ..) is a class of 'esc-50'" in refusal(
        hub.folder / "wave", labels="esc-50"
    )
    clap = hub.folder / "clap"
    assert "has no labels of its own" in refusal(clap, labels="model")
    assert "must have one {}" in refusal(clap, prompt="a sound")
    lone = hub.copy("lone", "three")
    (lone / "preprocessor_config.json").unlink()
    assert "it has no preprocessor_config.json" in refusal(lone)
    (hub.copy("weightless", "three") / "model.safetensors").unlink()
    hub.publish("weightless")
    assert "it has no PyTorch weights" in refusal("hf:tests/weightless")
    torn = hub.copy("torn", "three") / "model.safetensors"
    torn.write_bytes(torn.read_bytes()[:100])
    assert "its weights cannot be loaded" in refusal(torn.parent)
    (torn.parent / "config.json").write_text("{")
    assert "config.json cannot be read" in refusal(torn.parent)
    assert "leave --checkpoint out" in _with_checkpoint(hub.folder / "wave")


def _with_checkpoint(folder: Path) -> str:
    with pytest.raises(NiahError) as caught:
        load_model(folder, checkpoint="random")
    return str(caught.value)


def test_a_missing_extra_names_its_install_line(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert refusal(hub.folder / "wave").endswith("pip install 'audio-niah[hf]'")


@pytest.mark.parametrize("kind", [torch.int8, torch.bool, torch.complex64])
@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_weights_that_are_no_floats_are_refused(
    file: str, kind: torch.dtype, tmp_path: Path
) -> None:
    folder = tiny_transformers.ast(tmp_path / "model", ["a", "b"])
    stored = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    changed = {name: value.to(kind) for name, value in stored.items()}
    if file == "model.safetensors":
        save_file(changed, folder / file, metadata={"format": "pt"})
    else:
        torch.save(changed, folder / file)
    with pytest.raises(NiahError, match=rf"{file}: parameter \S+ is of type"):
        load_model(str(folder), device="cpu")
