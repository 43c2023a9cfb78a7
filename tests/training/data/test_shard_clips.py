"""Training on tar and Parquet shards, read from beginning to end."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from niah.errors import NiahError
from niah.needles import NeedleSet, load_needles
from niah.needles.readers import parquet, tar_shards
from niah.needles.readers.shard_cursor import ShardCursor, place_in_shard
from niah.training.command import train_recipe
from niah.training.data.batch import Batch
from niah.training.data.labels import SparseLabels
from niah.training.data.loading import shard_batches
from niah.training.data.shard_clips import BadClips, ShardClips, ShuffleBuffer
from niah.training.data.shard_plan import ShardLayout, ShardPlanner
from niah.vocabularies import vocabulary
from tests.helpers import tiny
from tests.helpers.shards import encoded, shards, tar_shard
from tests.helpers.tiny_training import FRONTEND, Material, recipe

OPTIONS: dict[str, Any] = {
    "batch_size": 4,
    "epochs": 2,
    "pipeline": "waveform",
    "shuffle_buffer": 16,
    "mixup_rate": 0.5,
    "gain_db": 6.0,
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("shards")
    tiny.card(folder)
    return {kind: shards(folder / kind, 24, 3, kind) for kind in ("tar", "parquet")}


def needles_of(folder: Path) -> NeedleSet:
    return load_needles(folder, vocabulary=vocabulary(folder.parent / "labels.csv"))


def clips_of(
    needles: NeedleSet, notes: list[str], share: float = 0.05, **options: Any
) -> ShardClips:
    labels = SparseLabels.from_needles(needles)
    layout = ShardLayout.of_needles(needles)
    planner = ShardPlanner(recipe(**OPTIONS | options), labels, layout, frames=1024, mels=128)
    return ShardClips(needles, FRONTEND, labels, planner, BadClips(share, notes.append))


def steps(clips: ShardClips, first: int = 0, share: slice = slice(None)) -> Iterator[Batch]:
    device = torch.device("cpu")
    for _, batch in shard_batches(clips, first=first, share=share, workers=0, device=device):
        yield batch


def assert_equal_batches(a: Batch, b: Batch, share: slice = slice(None)) -> None:
    assert a.log_mel is not None
    assert b.log_mel is not None
    assert torch.equal(a.log_mel[share], b.log_mel)
    assert torch.equal(a.targets[share], b.targets)


@pytest.mark.parametrize("kind", ["tar", "parquet"])
def test_a_shard_is_opened_once_and_its_sounds_are_those_of_random_reading(
    kind: str, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    needles = needles_of(folders[kind])
    opened: list[str] = []
    path_open, file_of = Path.open, parquet.opened

    def noted_open(path: Path, mode: str) -> Any:
        opened.append(path.name)
        return path_open(path, mode)

    def noted_file(path: Path) -> Any:
        opened.append(path.name)
        return file_of(path)

    if kind == "tar":
        monkeypatch.setattr(Path, "open", noted_open)
    else:
        monkeypatch.setattr("niah.needles.readers.shard_cursor.opened", noted_file)
    sources = sorted((n.source for n in needles.needles), key=place_in_shard)
    cursor = ShardCursor()
    sounds = [cursor.read(source) for source in sources]
    assert opened == [f"{k:03d}.{kind}" for k in range(3)]
    monkeypatch.undo()
    own = [s for s in sources if isinstance(s, tar_shards.TarSource | parquet.ParquetSource)]
    assert sounds == [source.read() for source in own]
    assert cursor.read(sources[0]) == sounds[0]  # a jump back
    assert sorted(sounds) == sorted(encoded(k) for k in range(24))  # type: ignore[type-var]


def test_a_buffer_holds_the_last_clips_and_is_the_same_after_a_jump(
    folders: dict[str, Path],
) -> None:
    needles = needles_of(folders["tar"])
    rows = ShardLayout.of_needles(needles).rows
    walked, jumped = (ShuffleBuffer(needles, rows, 5) for _ in range(2))
    for end in (0, 3, 3, 9, 17):
        walked.read_to(end)
    jumped.read_to(17)
    beside = [15, 14, 13, 16, 17, *range(12, -1, -1), *range(18, 24)]  # the buffer's own first
    assert [each.row for each in walked.candidates(15)] == [rows[place] for place in beside]
    assert list(walked.candidates(15)) == list(jumped.candidates(15))


def test_a_batch_is_the_same_however_it_is_reached_and_shared(folders: dict[str, Path]) -> None:
    """From the first step on or resumed at one, in one process or two, from tar or Parquet."""
    needles = needles_of(folders["tar"])
    whole = list(steps(clips_of(needles, [])))
    assert len(whole) == 12
    for first in (4, 7):  # within an epoch, and in the second one
        assert_equal_batches(whole[first], next(steps(clips_of(needles, []), first)))
    for rank in range(2):
        share = slice(rank, None, 2)
        halves = steps(clips_of(needles, []), share=share)
        for batch, half in zip(whole[:4], halves, strict=False):
            assert_equal_batches(batch, half, share)
    others = steps(clips_of(needles_of(folders["parquet"]), []))
    for batch, other in zip(whole[:4], others, strict=False):
        assert_equal_batches(batch, other)


def test_a_clip_that_cannot_be_read_is_replaced_named_and_counted(tmp_path: Path) -> None:
    tiny.card(tmp_path)
    clips = [
        (f"clip{k:02d}", encoded(k) if k != 5 else b"no sound", tiny.IDS[k % 3]) for k in range(24)
    ]
    tar_shard(tmp_path / "bad" / "000.tar", clips)
    needles = needles_of(tmp_path / "bad")
    notes: list[str] = []
    made = list(steps(clips_of(needles, notes)))
    (bad,) = (row for row, needle in enumerate(needles.needles) if needle.id == "clip05")
    assert all(b.plan is not None and bad not in b.plan.rows for b in made)
    made_of_small = list(steps(clips_of(needles, [], shuffle_buffer=2)))  # of no clip a stream
    assert len(made_of_small) == len(made)
    assert all(b.plan is not None and bad not in b.plan.rows for b in made_of_small)
    assert len(notes) == 1
    assert "clip05" in notes[0]
    assert "another clip is used in its place" in notes[0]
    with pytest.raises(
        NiahError, match=r"of .* clips could not be used, the first: .*clip05.*--max-excluded"
    ):
        list(steps(clips_of(needles, notes, share=0.0)))


def test_a_buffer_needs_sounds() -> None:
    with pytest.raises(NiahError, match='shuffle_buffer is of sounds: set pipeline = "waveform"'):
        recipe(shuffle_buffer=10)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tar", "parquet"])
def test_workers_processes_and_kills_change_nothing(
    kind: str, material: Material, folders: dict[str, Path], cache: Path, tmp_path: Path
) -> None:
    """`niah train` on shards: by 0, 2 and 4 workers, and killed twice, to the same bytes."""
    slow = tiny.card(tmp_path, delay_s=0.02)
    values = {**OPTIONS, "batch_size": 6, "epochs": 8, "checkpoint_steps": 1}
    made = material.recipe("shards", model=str(slow), train=str(folders[kind]), **values)
    quiet = train_recipe(str(made), tmp_path / "0", device="cpu", workers=0)
    for workers in (2, 4):
        out = tmp_path / str(workers)
        again = train_recipe(str(made), out, device="cpu", workers=workers)
        assert again.read_bytes() == quiet.read_bytes()
    command = [
        sys.executable,
        "-m",
        "niah",
        "train",
        str(made),
        "--device",
        "cpu",
        "--workers",
        "2",
    ]
    for number in range(3):
        out = tmp_path / "killed"
        process = subprocess.Popen(
            [*command, "--out", str(out)], env=tiny.environment(cache), stderr=subprocess.DEVNULL
        )
        if number < 2:
            while not (out / "checkpoint.pt").exists():
                assert process.poll() is None
                time.sleep(0.01)
            time.sleep(np.random.default_rng(number).uniform(0, 1) if number == 0 else 8)
            process.kill()
        process.wait()
    assert process.returncode == 0
    killed, alone = (load_file(f / quiet.name) for f in (tmp_path / "killed", tmp_path / "0"))
    assert all(torch.equal(killed[key], alone[key]) for key in alone)
    assert (tmp_path / "killed/log.csv").read_text() == (tmp_path / "0/log.csv").read_text()


@pytest.mark.slow
def test_two_processes_share_the_shards(
    material: Material, folders: dict[str, Path], cache: Path, tmp_path: Path
) -> None:
    values = {**OPTIONS, "batch_size": 6}
    made = material.recipe("two", train=str(folders["tar"]), **values)
    alone = train_recipe(str(made), tmp_path / "alone", device="cpu", workers=0)
    command = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "niah"]
    command += ["train", str(made), "--out", str(tmp_path / "two"), "--device", "cpu"]
    command += ["--workers", "1"]
    environment = {**tiny.environment(cache), "OMP_NUM_THREADS": "1", "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-m", *command],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    two = load_file(tmp_path / "two" / alone.name)
    for key, value in load_file(alone).items():
        torch.testing.assert_close(two[key], value, rtol=1e-4, atol=1e-6)
