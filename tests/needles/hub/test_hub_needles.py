"""Needles by hub id: against a hub on this machine."""

import io
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from niah.errors import NiahError
from niah.needles import NeedleSet, load_needles, waveform
from tests.helpers.clip_files import AUDIOSET, RATE, by_id, flac_bytes, tone
from tests.helpers.loopback_hub import (
    COMMIT,
    LoopbackHub,
    Repository,
    serving_hub,
    use_endpoint,
)

SPEECH, MUSIC, DOG = "/m/09x0r", "/m/04rlf", "/m/0bt9lr"
NAMES = {SPEECH: "Speech", MUSIC: "Music", DOG: "Dog"}
CLASSES = {"label": {"names": ["Dog", "Speech", "Music"], "_type": "ClassLabel"}}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    monkeypatch.setenv("NIAH_CACHE", str(tmp_path / "niah"))
    with serving_hub(tmp_path / "hub", monkeypatch) as server:
        yield server


@pytest.fixture
def sounds(tmp_path: Path) -> list[dict[str, object]]:
    """Return six cells of an audio column: tones of 300, 400, .. Hz."""
    return [
        {"bytes": flac_bytes(tmp_path, 300.0 + 100 * i), "path": f"clip{i}.flac"} for i in range(6)
    ]


def parquet(
    columns: Mapping[str, Sequence[object]], features: Mapping[str, object] | None = None
) -> bytes:
    table = pyarrow.table(dict(columns))
    if features:
        import json

        metadata = {"huggingface": json.dumps({"info": {"features": features}})}
        table = table.replace_schema_metadata(metadata)
    stream = io.BytesIO()
    pyarrow.parquet.write_table(table, stream, row_group_size=2)
    return stream.getvalue()


def load(spec: str, limit: int | None = None) -> NeedleSet:
    return load_needles(spec, vocabulary=AUDIOSET, limit=limit)


def labels(needles: NeedleSet) -> dict[str, tuple[str, ...]]:
    return {needle.id: needle.labels for needle in needles.needles}


def audioset(sounds: Sequence[object]) -> Repository:
    """A set like mteb/audioset: two splits, the test split in three shards of two clips."""
    pairs = [(SPEECH, MUSIC), (DOG,), (SPEECH,), (MUSIC,), (DOG, SPEECH), (DOG,)]
    files = {}
    for shard in range(3):
        part = slice(2 * shard, 2 * shard + 2)
        files[f"data/test-{shard:05d}-of-00003.parquet"] = parquet(
            {"audio": sounds[part], "labels": [list(each) for each in pairs[part]]}
        )
    files["data/train-00000-of-00001.parquet"] = parquet(
        {"audio": sounds[:1], "labels": [[SPEECH]]}
    )
    files["README.md"] = b"---\nlicense: cc-by-4.0\n---\n"
    return Repository(files, {"license": "cc-by-4.0"})


def test_a_set_is_fetched_shard_by_shard_as_far_as_the_limit_needs(
    hub: LoopbackHub, sounds: list[dict[str, object]]
) -> None:
    hub.repositories["datasets/mteb/audioset"] = audioset(sounds)
    needles = load("hf:mteb/audioset@5a5a5a5", limit=3)
    assert needles.name == "hf:mteb/audioset@5a5a5a5/test"
    assert needles.pinned == f"hf:mteb/audioset@{COMMIT}/test"
    assert needles.licence == "cc-by-4.0 (dataset card of mteb/audioset)"
    assert len(needles) == 3
    assert [path.rpartition("/")[2] for path in hub.fetched()] == [
        "test-00000-of-00003.parquet",
        "test-00001-of-00003.parquet",
    ]
    assert any("3 are taken, stratified; --limit N" in note for note in needles.notes)
    assert any("clips in 2 of 3 shards" in note for note in needles.notes)
    assert any("of the splits test, train" in note for note in needles.notes)
    for needle in needles.needles:
        pitch = 300.0 + 100 * int(needle.id.removeprefix("clip"))
        np.testing.assert_allclose(waveform(needle, RATE).samples, tone(pitch), atol=1e-4)
    every = load(needles.pinned)
    assert set(labels(every)) == {f"clip{i}" for i in range(6)}
    assert labels(every)["clip4"] == (DOG, SPEECH)
    n_requests = len(hub.requests)
    assert load(needles.pinned).ids_sha256 == every.ids_sha256
    assert load("hf:mteb/audioset@5a5a5a5", limit=3).ids_sha256 == needles.ids_sha256
    assert len(hub.requests) == n_requests  # a pinned commit makes no request


@pytest.mark.parametrize(
    ("columns", "features", "card", "query"),
    [
        ({"labels": [[DOG], [SPEECH]]}, None, {}, ""),
        ({"human_labels": [["Dog"], ["Speech"]]}, None, {}, ""),
        ({"labels": ["Dog", "Speech,unknown thing"]}, None, {}, ""),
        ({"labels": ["dog", "SPEECH"]}, None, {}, ""),
        ({"label": [0, 1]}, CLASSES, {}, ""),
        ({"label": [[0], [1]]}, {"label": {"feature": CLASSES["label"]}}, {}, ""),
        (
            {"label": [0, 1]},
            None,
            {
                "dataset_info": {
                    "features": [
                        {
                            "name": "label",
                            "dtype": {"class_label": {"names": {"0": "Dog", "1": "Speech"}}},
                        }
                    ]
                }
            },
            "",
        ),
        ({"labels": ["no", "none"], "what": [["Dog"], ["Speech"]]}, None, {}, "?labels=what"),
        ({"labels": [[DOG], [SPEECH]], "fold": [1, 2]}, None, {}, "?fold=1,2"),
    ],
)
def test_label_columns_of_all_kinds(
    hub: LoopbackHub,
    sounds: list[dict[str, object]],
    columns: dict[str, list[object]],
    features: dict[str, object] | None,
    card: dict[str, object],
    query: str,
) -> None:
    content = parquet({"audio": sounds[:2], **columns}, features)
    hub.repositories["datasets/o/n"] = Repository({"test.parquet": content}, card)
    assert labels(load(f"hf:o/n{query}")) == {"clip0": (DOG,), "clip1": (SPEECH,)}


def test_names_of_fsd50k_and_a_sound_column_of_another_name(
    hub: LoopbackHub, sounds: list[dict[str, object]]
) -> None:
    content = parquet(
        {
            "sound": [each["bytes"] for each in sounds[:2]],
            "labels": ["Male_speech_and_man_speaking,Speech,Human_voice", "Acoustic_guitar,Guitar"],
        }
    )
    hub.repositories["datasets/o/n"] = Repository({"data/test.parquet": content})
    needles = load("hf:o/n?audio=sound")
    assert labels(needles) == {
        "data/test:0:0": ("/m/05zppz", SPEECH),
        "data/test:0:1": ("/m/042v_gx", "/m/0342h"),
    }
    assert any("called alike: Male_speech_and_man_speaking (1)" in n for n in needles.notes)
    assert any("left out: Human_voice (1)" in note for note in needles.notes)
    np.testing.assert_allclose(
        waveform(by_id(needles)["data/test:0:0"], RATE).samples, tone(300), atol=1e-4
    )


def test_configurations_and_splits(hub: LoopbackHub, sounds: list[dict[str, object]]) -> None:
    def one(i: int) -> bytes:
        return parquet({"audio": sounds[i : i + 1], "labels": [[DOG]]})

    files = {
        f"data/{name}/0.parquet": one(i) for i, name in enumerate(("bal_train", "eval", "full"))
    }
    card = {
        "configs": [
            {"config_name": "full", "data_files": "data/full/*.parquet"},
            {
                "config_name": "balanced",
                "default": True,
                "data_files": [
                    {"split": "train", "path": ["data/bal_train/*.parquet"]},
                    {"split": "test", "path": "data/eval/*.parquet"},
                ],
            },
        ]
    }
    hub.repositories["datasets/agk/AudioSet"] = Repository(files, card)
    hub.repositories["datasets/o/bare"] = Repository(files)
    named = {
        "hf:agk/AudioSet": "clip1",
        "hf:agk/AudioSet:balanced/eval@5a5a5a5": "clip1",
        "hf:agk/AudioSet@main:balanced/train": "clip0",
        "hf:agk/AudioSet?split=train": "clip0",
        "hf:agk/AudioSet:full": "clip2",
        "hf:o/bare/bal_train": "clip0",
        "hf:o/bare": "clip1",
        "hf:o/bare:full": "clip2",
    }
    assert {spec: next(iter(labels(load(spec)))) for spec in named} == named
    assert load("hf:agk/AudioSet").name == "hf:agk/AudioSet@5a5a5a5:balanced/test"


def refused(spec: str) -> str:
    with pytest.raises(NiahError) as caught:
        load(spec)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_refusals_in_one_line(hub: LoopbackHub, sounds: list[dict[str, object]]) -> None:
    hub.repositories["datasets/o/n"] = audioset(sounds)
    hub.repositories["datasets/o/gated"] = Repository(audioset(sounds).files, gated=True)
    hub.repositories["datasets/o/empty"] = Repository({"clips.zip": b"PK"})
    numbers = parquet({"audio": sounds[:1], "label": [3]})
    hub.repositories["datasets/o/numbers"] = Repository({"test.parquet": numbers})
    configs = [
        {"config_name": name, "data_files": f"data/{name}*"} for name in ("test-00000", "train")
    ]
    hub.repositories["datasets/o/configs"] = Repository(
        audioset(sounds).files, {"configs": configs}
    )
    for spec, reason in {
        "hf:o/none": "has no such repository",
        "hf:o/n@v9": "it has no revision 'v9'",
        "hf:o/n@1234567": "it has no revision '1234567'",
        "hf:o/n/dev": "has no split 'dev'; it has test, train",
        "hf:o/n:big": "has no configuration 'big'; its folders are data",
        "hf:o/configs": "has the configurations test-00000, train: choose one",
        "hf:o/configs:tset": "has no configuration 'tset'",
        "hf:o/n?labels=what": "lacks the column 'what'; it has audio, labels",
        "hf:o/n?audio=labels": "lacks the column 'audio' with embedded 'bytes'",
        "hf:o/n?fold=1": "has no column 'fold' to filter by",
        "hf:o/gated": "it is gated: ask for access",
        "hf:o/empty": "has no Parquet files",
        "hf:o/numbers": "neither the file nor its card names the classes",
        "hf:o": "must read hf:OWNER/NAME",
        "hf:o/n@a@b": "names its revision twice",
        "hf:../n": "reads OWNER/NAME",
        "hf:o/n?x": "must read ?column=value",
    }.items():
        assert reason in refused(spec), spec


def test_without_a_network(
    hub: LoopbackHub, sounds: list[dict[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repositories["datasets/o/n"] = audioset(sounds)
    online = load("hf:o/n", limit=2)
    use_endpoint("http://127.0.0.1:9", monkeypatch)
    begin = time.monotonic()
    assert "http://127.0.0.1:9 does not answer" in refused("hf:o/other")
    assert time.monotonic() - begin < 3
    offline = load("hf:o/n", limit=2)
    assert (offline.ids_sha256, offline.name) == (online.ids_sha256, online.name)
    assert any("read from the cache, as it was at commit 5a5a5a5" in n for n in offline.notes)
    assert "shard 2 of 3" in refused("hf:o/n")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in refused("hf:o/other")


def test_what_other_programs_downloaded_is_used(
    hub: LoopbackHub,
    sounds: list[dict[str, object]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    from huggingface_hub import hf_hub_download

    hub.repositories["datasets/o/n"] = audioset(sounds)
    for file in hub.repositories["datasets/o/n"].files:
        hf_hub_download(
            "o/n",
            file,
            repo_type="dataset",
            cache_dir=tmp_path / "hub",
            endpoint=f"http://127.0.0.1:{hub.server_address[1]}",
        )
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for spec in ("hf:o/n", f"hf:o/n@{COMMIT}", "hf:o/n@5a5a5a5"):
        needles = load(spec)
        assert len(needles) == 6
        assert needles.licence.startswith("cc-by-4.0")


def test_a_shard_of_another_checksum_is_refused_and_fetched_again(
    hub: LoopbackHub, sounds: list[dict[str, object]]
) -> None:
    """It stayed in the cache, and the same command took it."""
    hub.repositories["datasets/o/n"], hub.damages = audioset(sounds), True
    said = refused("hf:o/n")
    assert "checksum differs from the hub's; it is removed: the same command fetches it" in said
    hub.damages = False
    assert len(load("hf:o/n")) == 6


@pytest.mark.parametrize("begun", [False, True])
def test_a_busy_hub_is_asked_again(
    hub: LoopbackHub,
    sounds: list[dict[str, object]],
    monkeypatch: pytest.MonkeyPatch,
    begun: bool,
) -> None:
    """For the listing, or for the second shard."""
    monkeypatch.setattr("niah.system.transfer.WAITS_S", (0.01, 0.01))
    hub.repositories["datasets/o/n"] = audioset(sounds)
    if begun:
        load("hf:o/n", limit=1)
    hub.busy = 2
    assert len(load("hf:o/n")) == 6
    assert hub.busy == 0
