"""Training among broken clips, damaged files and kills: named in one line, left out or made again."""

import multiprocessing
import os
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from niah.audio import AudioError
from niah.errors import NiahError
from niah.frontends.kaldi import KaldiFrontend
from niah.needles import NeedleSet, load_needles
from niah.needles.needle import FileSource, Needle
from niah.training.checkpoint import CheckpointWriter, Origin, TrainState, content_of, resume
from niah.training.command import train_recipe
from niah.training.data import stored_features
from niah.training.data.batch import Batch
from niah.training.data.batch_plan import BatchPlan
from niah.training.data.clips import FeatureClips
from niah.training.data.reading import read_samples
from niah.training.data.row_store import BLOCK_ROWS, RowStore, Share
from niah.training.data.stored_features import load_features
from niah.training.data.usable_clips import (
    content_checksum,
    sizes_checksum,
    sounds_checksum,
    usable_clips,
)
from niah.training.log import read_log, restored_log
from niah.training.loop import train
from niah.vocabularies import vocabulary
from tests.helpers import tiny
from tests.helpers.shards import tar_shard
from tests.helpers.tiny_training import clips, network, recipe

FRONTEND = KaldiFrontend()


def tiny_recipe(folder: Path, **values: object) -> Path:
    card = tiny.card(folder)
    path = folder / "mine.toml"
    lines = {"model": f'"{card}"', "epochs": 1, "batch_size": 4, "warmup_steps": 0, **values}
    path.write_text("\n".join(f"{key} = {value}" for key, value in lines.items()))
    return path


# --- clips


@pytest.fixture(scope="module")
def broken_clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 clips: the first silent, the second cut short."""
    folder = tmp_path_factory.mktemp("broken")
    manifest = tiny.manifest(folder, 24)
    soundfile.write(folder / "clip00.wav", np.zeros(160_000), tiny.SAMPLE_RATE)
    whole = (folder / "clip01.wav").read_bytes()
    (folder / "clip01.wav").write_bytes(whole[: len(whole) // 2])
    return manifest


@pytest.mark.parametrize("pipeline", ["features", "waveform"])
def test_silence_is_trained_on_and_a_broken_clip_left_out(
    broken_clips: Path, tmp_path: Path, pipeline: str, capsys: pytest.CaptureFixture[str]
) -> None:
    small_recipe = str(tiny_recipe(tmp_path, pipeline=f'"{pipeline}"'))
    options = {"train": str(broken_clips), "validation": str(broken_clips), "device": "cpu"}
    train_recipe(small_recipe, tmp_path / "out", workers=0, **options)  # type: ignore[arg-type]
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note:")]
    assert len(notes) == 1  # training and validation are one list
    assert all("1 of 24 clips cannot be used" in line for line in notes)
    assert all("clip01.wav: is truncated" in line and "clip00" not in line for line in notes)
    assert read_log(tmp_path / "out" / "log.csv")[0]["step"] == "5"  # 23 clips in fours
    assert 'trained_on = "23 clips of' in (tmp_path / "out" / "card.toml").read_text()
    with pytest.raises(NiahError, match=r"1 of 24 clips cannot be used: .*clip01\.wav"):
        train_recipe(small_recipe, tmp_path / "no", largest_excluded=0.0, **options)  # type: ignore[arg-type]
    assert not (tmp_path / "no").exists()


def tiny_needles(manifest: Path) -> NeedleSet:
    labels = tiny.card(manifest.parent).with_name("labels.csv")
    return load_needles(manifest, vocabulary=vocabulary(labels))


def test_too_many_broken_clips_are_all_named(tmp_path: Path) -> None:
    manifest = tiny.manifest(tmp_path, 6)
    (tmp_path / "clip02.wav").unlink()
    (tmp_path / "clip04.wav").write_text("no sound")
    needles = tiny_needles(manifest)
    with pytest.raises(NiahError, match="2 of 6 clips cannot be used") as refused:
        usable_clips(needles, FRONTEND, tmp_path / "cache", note=print)
    assert "clip02.wav: no such file" in str(refused.value)
    assert "clip04.wav: is not a sound file" in str(refused.value)
    usable = usable_clips(needles, FRONTEND, tmp_path / "cache", largest_share=0.5, note=print)
    names = [Path(needle.source.name).name for needle in usable.needles]
    assert sorted(names) == ["clip00.wav", "clip01.wav", "clip03.wav", "clip05.wav"]


def test_a_second_start_reads_no_clip_again_until_one_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needles = tiny_needles(tiny.manifest(tmp_path, 2))
    sound, rate = soundfile.read(tmp_path / "clip01.wav")
    soundfile.write(tmp_path / "clip01.wav", np.tile(sound, 3), rate)
    notes: list[str] = []
    assert len(usable_clips(needles, FRONTEND, tmp_path / "c", note=notes.append)) == 2
    assert "clips longer than 10.26 s, of which the first 10.26 s are used: 1 of 2" in notes[0]
    assert "clip01.wav" in notes[0]

    def unread(*_: object) -> None:
        raise AssertionError("read again")

    with monkeypatch.context() as patched:
        patched.setattr("niah.training.data.usable_clips.read_samples", unread)
        assert len(usable_clips(needles, FRONTEND, tmp_path / "c", note=notes.append)) == 2
    assert notes == 2 * notes[:1]
    (tmp_path / "clip00.wav").write_text("no sound")
    with pytest.raises(NiahError, match="1 of 2"):
        usable_clips(needles, FRONTEND, tmp_path / "c", note=print)


@pytest.mark.parametrize("kind", ["tar", "events"])
def test_clips_in_a_file_that_was_made_again_are_read_again(tmp_path: Path, kind: str) -> None:
    """A shard or a recording that was mended; and its sounds are other ones to a training that goes on."""
    tiny.manifest(tmp_path, 2)
    whole = (tmp_path / "clip01.wav").read_bytes()
    events = tmp_path / "events.csv"
    events.write_text(f"path,onset,offset,label\nclip01.wav,0,9.5,{tiny.IDS[0]}\n")

    def stored(*sounds: bytes) -> None:
        (tmp_path / "clip01.wav").write_bytes(sounds[-1])
        clips = [(f"{n:02d}", each, tiny.IDS[0]) for n, each in enumerate(sounds)]
        tar_shard(tmp_path / "a.tar", clips)

    def needles() -> NeedleSet:
        return tiny_needles(tmp_path / "a.tar" if kind == "tar" else events)

    cache, checksums = tmp_path / "cache", []
    options: dict[str, Any] = {"largest_share": 0.5, "note": print}
    if kind == "tar":
        stored(whole, bytes(len(whole)))
        assert len(usable_clips(needles(), FRONTEND, cache, **options)) == 1
    silent = whole[:44] + bytes(len(whole) - 44)
    for sound in (whole, whole[:-2] + b"ab", silent):
        stored(whole, sound)
        assert len(usable_clips(needles(), FRONTEND, cache, **options)) == len(needles())
        checksums.append(content_checksum(needles(), sounds_checksum(needles(), FRONTEND, cache)))
    assert len(set(checksums)) == 3
    if kind == "tar":
        sizes = sizes_checksum(needles())
        stored(whole, whole + b"ab")
        assert sizes_checksum(needles()) != sizes


def test_a_clip_that_could_not_be_opened_once_is_not_left_out_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that did not answer changes neither size nor time of the file, by which verdicts are stored."""
    needles, cache = tiny_needles(tiny.manifest(tmp_path, 3)), tmp_path / "cache"

    def unanswered(source: Any, rate: int) -> Any:
        if source.path.name == "clip01.wav":
            raise AudioError(source.name, "missing", "cannot be read (Input/output error)")
        return read_samples(source, rate)

    with monkeypatch.context() as patched:
        patched.setattr("niah.training.data.usable_clips.read_samples", unanswered)
        options: dict[str, Any] = {"largest_share": 0.5, "note": print}
        assert len(usable_clips(needles, FRONTEND, cache, **options)) == 2
        assert len(usable_clips(needles, FRONTEND, cache, **options)) == 2
        before = sounds_checksum(needles, FRONTEND, cache)
    assert len(usable_clips(needles, FRONTEND, cache, note=print)) == 3
    assert sounds_checksum(needles, FRONTEND, cache) != before


# --- stored features


def test_features_that_were_half_made_are_gone_on_with(tmp_path: Path) -> None:
    rows = np.arange(5 * BLOCK_ROWS // 2).astype(np.float32)[:, None]
    store = RowStore(tmp_path / "rows.npy", rows.shape, rows.dtype)
    made: list[int] = []

    def make(
        stop: int,
    ) -> Callable[[int, int], "np.ndarray[tuple[int, ...], np.dtype[np.float32]]"]:
        def some(first: int, last: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
            if len(made) == stop:
                raise KeyboardInterrupt
            made.append(first)
            return rows[first:last]

        return some

    with pytest.raises(KeyboardInterrupt):
        store.load_or_make(make(2), "rows")
    assert np.array_equal(store.load_or_make(make(9), "rows"), rows)
    assert made == [0, BLOCK_ROWS, 2 * BLOCK_ROWS]
    assert np.array_equal(store.load_or_make(make(0), "rows"), rows)  # nothing is left to make


def test_blocks_of_a_process_that_died_are_made_by_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On another machine nobody ends those that wait: they waited without end."""
    monkeypatch.setattr("niah.training.data.row_store.STALE_S", 0.3)
    rows = np.arange(5 * BLOCK_ROWS // 2).astype(np.float32)[:, None]
    store = RowStore(tmp_path / "rows.npy", rows.shape, rows.dtype)
    made = store.load_or_make(lambda first, last: rows[first:last], "rows", Share(0, 2))
    assert np.array_equal(made, rows)
    assert "nobody makes 1 block, made here" in capsys.readouterr().err


def test_any_flipped_bit_of_stored_features_is_mended(tmp_path: Path) -> None:
    needles = tiny_needles(tiny.manifest(tmp_path, 3))
    expected = np.array(load_features(needles, FRONTEND, tmp_path / "cache").log_mel)
    (path,) = (tmp_path / "cache").glob("*.npy")
    whole, rng = path.read_bytes(), random.Random(0)
    for place in [5, 40, *(rng.randrange(128, len(whole)) for _ in range(6))]:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        assert np.array_equal(
            load_features(needles, FRONTEND, tmp_path / "cache").log_mel, expected
        )
        assert path.read_bytes() == whole
    for content in (b"", whole[: len(whole) // 2], b"hello"):
        path.write_bytes(content)
        assert np.array_equal(
            load_features(needles, FRONTEND, tmp_path / "cache").log_mel, expected
        )


def test_features_past_a_size_are_refused_with_the_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needles = tiny_needles(tiny.manifest(tmp_path, 3))
    monkeypatch.setattr(stored_features, "feature_rows", None)
    with pytest.raises(NiahError, match=r"of 3 clips would take 0 GB .* pipeline = .waveform."):
        load_features(needles, FRONTEND, tmp_path / "cache", largest_gb=1e-4)
    assert not list(tmp_path.glob("cache/*"))


class DeadlyClips(FeatureClips):
    """Clips that end the process which reads them, as a system without memory does."""

    def batch(self, plan: BatchPlan) -> Batch:  # noqa: ARG002
        assert multiprocessing.parent_process() is not None
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("unreachable")


def test_a_worker_that_is_killed_is_one_line(tmp_path: Path) -> None:
    data, small_recipe = clips(), recipe(epochs=2, batch_size=4)
    deadly = DeadlyClips(data.log_mel, data.targets)
    with pytest.raises(NiahError, match=r"that reads clips has ended .*fewer --workers") as error:
        train(small_recipe, network(), FRONTEND, deadly, data, tmp_path, workers=1)
    assert "\n" not in str(error.value)


# --- checkpoint, log, leftovers


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FeatureClips]:
    out, data = tmp_path_factory.mktemp("finished"), clips()
    train(recipe(epochs=2, batch_size=4), network(), FRONTEND, data, data, out)
    return out, data


def test_a_flipped_bit_in_a_checkpoint_never_gives_other_weights(
    finished: tuple[Path, FeatureClips], tmp_path: Path
) -> None:
    """Each is refused by name, or lies where nothing is read (the archive's own dates and padding)."""
    out, data = finished
    small_recipe = recipe(epochs=2, batch_size=4)
    whole = (out / "checkpoint.pt").read_bytes()
    expected = train(small_recipe, network(), FRONTEND, data, data, out).state
    rng, refused = random.Random(1), 0
    folder = tmp_path / "damaged"
    for _ in range(60):
        damaged = bytearray(whole)
        damaged[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / "checkpoint.pt").write_bytes(damaged)
        try:
            state = train(small_recipe, network(5), FRONTEND, data, data, folder).state
        except NiahError as error:
            text = str(error)
        else:
            assert all(torch.equal(state[key], value) for key, value in expected.items())
            continue
        assert "checkpoint.pt" in text
        assert "remove it" in text
        refused += 1
    assert refused > 30


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04", None])
def test_what_is_no_checkpoint_is_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "checkpoint.pt"
    if content is None:
        torch.save({"weights": torch.zeros(2)}, path)
    else:
        path.write_bytes(content)
    data = clips()
    with pytest.raises(NiahError, match=r"checkpoint\.pt .*remove it to begin anew") as refused:
        train(recipe(epochs=1, batch_size=4), network(), FRONTEND, data, data, tmp_path)
    assert "\n" not in str(refused.value)


def test_a_checkpoint_of_other_clips_is_refused(tmp_path: Path) -> None:
    data, small_recipe = clips(), recipe(epochs=1, batch_size=4)
    train(small_recipe, network(), FRONTEND, data, data, tmp_path, origin=Origin("a"))
    train(small_recipe, network(), FRONTEND, data, data, tmp_path, origin=Origin("a"))
    with pytest.raises(NiahError, match="checkpoint of other training clips"):
        train(small_recipe, network(), FRONTEND, data, data, tmp_path, origin=Origin("b"))
    train(small_recipe, network(), FRONTEND, data, data, tmp_path, origin=Origin("a content"))
    later, other = recipe(epochs=1, batch_size=4), tmp_path / "other"
    train(later, network(), FRONTEND, data, data, other, origin=Origin("a content"))
    with pytest.raises(NiahError, match="checkpoint of other training clips"):
        train(later, network(), FRONTEND, data, data, other, origin=Origin("a other content"))


def test_a_training_whose_validation_clips_changed_is_not_resumed(tmp_path: Path) -> None:
    data, small_recipe = clips(), recipe(epochs=1)
    common = (small_recipe, network(), FRONTEND, data, data, tmp_path)
    train(*common, origin=Origin("a", "b"))
    train(*common, origin=Origin("a", "b"))
    with pytest.raises(NiahError, match="checkpoint of other validation clips"):
        train(*common, origin=Origin("a", "c"))


def test_labels_and_sounds_are_a_part_of_the_clips(tmp_path: Path) -> None:
    labels, checksums = vocabulary("esc-10"), []
    for label, size in (("dog", 10), ("rain", 10), ("dog", 11)):
        (tmp_path / "a.wav").write_bytes(bytes(size))
        needle = Needle("a", (label,), FileSource(tmp_path / "a.wav"), "")
        checksums.append(content_checksum(NeedleSet("set", labels, (needle,), "")))
    assert len(set(checksums)) == 3
    assert len({each.partition(" ")[0] for each in checksums}) == 1  # of the ids, as it was


def test_a_log_that_is_none_is_told_before_the_first_step(tmp_path: Path) -> None:
    data = clips()
    (tmp_path / "log.csv").write_text("epoch,step\nfirst,1\n")
    with pytest.raises(NiahError, match=r"log\.csv, line 2: is no line of a training's log"):
        train(recipe(epochs=1, batch_size=4), network(), FRONTEND, data, data, tmp_path)
    assert not (tmp_path / "checkpoint.pt").exists()


@pytest.mark.parametrize("is_finished", [True, False])
def test_a_log_that_was_changed_is_written_again(
    finished: tuple[Path, FeatureClips],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    is_finished: bool,
) -> None:
    """Each digit of the log in turn, the file gone, lines of other epochs; the checkpoint has them, checked."""
    out, _ = finished
    history = torch.load(out / "checkpoint.pt", weights_only=True)["standing"]["history"]
    assert [line["epoch"] for line in history] == [1, 2]
    whole, path = (out / "log.csv").read_bytes(), tmp_path / "log.csv"
    head = whole.index(b"\n") + 1
    digits = [at for at in range(head, len(whole)) if chr(whole[at]).isdecimal()]
    changed = [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in digits]
    for content in (*changed, None, whole[:head], whole + whole[head:] * is_finished, whole):
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        assert restored_log(path, history, history[-1], finished=is_finished) == history
        assert path.read_bytes() == whole
        assert ("it is written again" in capsys.readouterr().err) == (content != whole)
    path.write_bytes(whole + b"3,15,0.1,0.1,0.1,0.1,0.1,nan\r\n")  # killed before its checkpoint
    restored_log(path, history, history[-1], finished=False)
    assert path.read_bytes() == whole
    assert not capsys.readouterr().err
    of_log = restored_log(path, [], history[0], finished=False)  # of checkpoints without a history
    assert repr(of_log) == repr(history[:1])  # nan included


def test_leftovers_of_killed_processes_are_swept(tmp_path: Path, cache: Path) -> None:
    leftovers = [
        tmp_path / "out" / ".checkpoint.pt.4711.tmp",
        cache / "training" / "0123.4711.tmp",
        cache / "training" / ".checked.json.4711.tmp",
    ]
    for file in leftovers:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"part")
    living = cache / "training" / f".checked.json.{os.getpid()}.01234567.tmp"
    living.touch()  # of another training, which has the cache too
    manifest = str(tiny.manifest(tmp_path / "clips", 4))
    small_recipe = str(tiny_recipe(tmp_path))
    train_recipe(small_recipe, tmp_path / "out", train=manifest, validation=manifest, device="cpu")
    assert not any(file.exists() for file in leftovers)
    assert living.exists()


def test_features_are_kept_beside_the_run_where_the_cache_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("NIAH_CACHE", str(tmp_path / "file"))
    clips = str(tiny.manifest(tmp_path / "clips", 4))
    out = tmp_path / "out"
    train_recipe(str(tiny_recipe(tmp_path)), out, train=clips, validation=clips, device="cpu")
    assert "features are kept in" in capsys.readouterr().err
    assert list((out / "cache").glob("*.npy"))


@pytest.mark.parametrize("part", ["checkpoint.pt", "card.toml", "labels.csv", "tensorboard"])
def test_a_link_in_a_training_folder_is_not_followed(tmp_path: Path, part: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / part).symlink_to(tmp_path / "precious")
    with pytest.raises(NiahError, match=f"{part} is a symbolic link, .* in a training directory"):
        train_recipe(
            str(tiny_recipe(tmp_path)), tmp_path / "out", train="a.csv", validation="a.csv"
        )
    assert not (tmp_path / "precious").exists()


def test_the_first_checkpoints_have_no_checksum_and_are_resumed(
    finished: tuple[Path, FeatureClips], tmp_path: Path
) -> None:
    out, data = finished
    saved = torch.load(out / "checkpoint.pt", weights_only=True)
    small_recipe = recipe(epochs=2, batch_size=4)
    assert saved["recipe"] == small_recipe.fingerprint
    del saved["sha256"], saved["clips"], saved["standing"]["history"]
    saved["recipe"] = small_recipe.fingerprint_text
    torch.save(saved, tmp_path / "checkpoint.pt")
    resumed = train(small_recipe, network(5), FRONTEND, data, data, tmp_path)
    assert resumed.log["epoch"] == 2
    assert TrainState(**saved["standing"]).finished


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda saved: saved["optimiser"]["state"][0].pop("exp_avg"), "state has"),
        (lambda saved: saved["optimiser"]["state"][0].update(exp_avg=True), "exp_avg is no tensor"),
        (lambda saved: saved["optimiser"]["param_groups"][0].update(lr="x"), "lr is 'x'"),
        (lambda saved: saved["standing"].update(step=1.5), "step is 1.5"),
        (lambda saved: saved["standing"].update(log=[]), "log is"),
        (lambda saved: saved["standing"].update(history=[{"epoch": "1"}]), "its log has"),
        (lambda saved: saved["standing"].update(averaged={"a": 1}), "averaged weights"),
    ],
)
def test_a_checkpoint_of_other_types_is_refused_before_a_step(
    tmp_path: Path, change: Callable[[Any], Any], reason: str
) -> None:
    made, tagger = recipe(), network()
    optimiser = torch.optim.AdamW(tagger.parameters())
    tagger(torch.zeros(1, 4, 128)).sum().backward()
    optimiser.step()
    path = tmp_path / "checkpoint.pt"
    content = content_of(made, TrainState(step=3), tagger, optimiser)
    CheckpointWriter(path, beside=False).write(content)
    assert resume(path, made, tagger, optimiser).step == 3
    saved = torch.load(path, weights_only=True)
    del saved["sha256"]  # as the first checkpoints were
    change(saved)
    torch.save(saved, path)
    with pytest.raises(NiahError, match=f"does not fit this model.*{reason}"):
        resume(path, made, tagger, optimiser)


def test_a_checkpoint_that_a_thread_cannot_write_ends_the_training(tmp_path: Path) -> None:
    content = content_of(
        recipe(), TrainState(), network(), torch.optim.AdamW(network().parameters())
    )
    writer = CheckpointWriter(tmp_path / "nowhere" / "checkpoint.pt", beside=True)
    writer.write(content)
    with pytest.raises(NiahError, match=r"cannot write to .*nowhere"):
        writer.write(content)
