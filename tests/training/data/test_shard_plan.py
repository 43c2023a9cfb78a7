"""Plans of a training on shards: every clip once an epoch, read in order, within the shuffle buffer."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from niah.needles import load_needles
from niah.needles.table import NeedleTable
from niah.training.data.batch_plan import epoch_order, sampling_weights
from niah.training.data.labels import SparseLabels
from niah.training.data.shard_plan import ShardLayout, ShardPlanner
from niah.vocabularies import vocabulary
from tests.helpers.tiny_training import recipe

CLIPS, SHARDS = 600, 12
STORED = ShardLayout(
    np.random.default_rng(1).permutation(CLIPS).astype(np.int32),
    np.arange(0, CLIPS + 1, CLIPS // SHARDS),
)
LABELS = SparseLabels.from_dense(np.eye(3, dtype=np.float32)[np.arange(CLIPS) % 7 % 3])


def planned(layout: ShardLayout = STORED, **options: Any) -> ShardPlanner:
    values = {"batch_size": 20, "epochs": 2, "pipeline": "waveform", "shuffle_buffer": 200}
    return ShardPlanner(recipe(**{**values, **options}), LABELS, layout, frames=100, mels=128)


def test_every_clip_is_used_once_an_epoch_and_read_in_the_order_of_its_shard() -> None:
    planner = planned()
    epochs = [
        [planner[epoch * planner.per_epoch + n].rows for n in range(planner.per_epoch)]
        for epoch in range(2)
    ]
    for rows in epochs:
        assert sorted(np.concatenate(rows)) == list(range(CLIPS))
    assert not np.array_equal(epochs[0][0], epochs[1][0])
    place = np.empty(CLIPS, int)
    place[STORED.rows] = np.arange(CLIPS)
    in_order = place[planner.epoch_streams(0).rows]  # (streams, clips)
    shard = in_order // (CLIPS // SHARDS)
    jumps = np.diff(in_order, axis=1) != 1
    assert np.array_equal(jumps, np.diff(shard, axis=1) != 0)  # a jump is to another shard
    assert jumps.sum() < SHARDS


@pytest.mark.parametrize("buffer", [20, 200, 2000])
def test_a_clip_and_its_partner_are_in_the_buffer(buffer: int) -> None:
    planner = planned(shuffle_buffer=buffer, mixup_rate=1.0)
    size, distances = buffer // 20, []
    for step in range(planner.per_epoch):
        plan = planner[step]
        for places in plan.places.T:
            assert (places <= plan.ends).all()
            assert (places > plan.ends - size).all()
        distances.append(plan.ends - plan.places[:, 0])
    ends = np.stack([planner[n].ends for n in range(planner.per_epoch)])
    assert (np.diff(ends, axis=0) >= 0).all()  # nothing is read twice
    if size == 1:
        assert not np.concatenate(distances).any()
    partners = np.concatenate([planner[n].partners for n in range(planner.per_epoch)])
    assert size == 1 or len(set(partners.tolist())) > CLIPS / 3


def test_a_buffer_shuffles() -> None:
    places = planned(shuffle_buffer=200).epoch_streams(0).places
    moved = np.abs(places - np.arange(places.shape[1]))
    assert 1 < moved.mean() < 10
    assert moved.max() <= 10


def test_steps_are_drawn_from_their_number_alone_and_shared_by_streams() -> None:
    forwards, single = planned(gain_db=6.0, mixup_rate=0.5), planned(gain_db=6.0, mixup_rate=0.5)
    steps = [forwards[n] for n in range(50)]
    for n in (45, 3):
        for name, value in vars(single[n]).items():
            assert np.array_equal(getattr(steps[n], name), value), name
    halves = [[plan.part(slice(i, None, 2)) for plan in steps[:30]] for i in range(2)]
    read = [
        {(s, p) for plan in half for s, p in zip(plan.streams, plan.places[:, 0], strict=True)}
        for half in halves
    ]
    assert not read[0] & read[1]
    assert len(read[0] | read[1]) == CLIPS
    assert {s for s, _ in read[0]} == set(range(0, 20, 2))


def test_balanced_sampling_uses_the_clips_that_are_drawn_for_the_epoch() -> None:
    planner = planned(sampling="balanced")
    used = np.concatenate([planner[n].rows for n in range(planner.per_epoch)])
    drawn = epoch_order(CLIPS, 0, 0, sampling_weights(LABELS))
    assert sorted(used) == sorted(drawn)


def test_a_manifest_is_laid_out_as_its_files_one_by_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    paths = [f"{'abc'[k % 3]}/{'d/' * (k % 2)}{k:02d}.wav" for k in rng.permutation(60).tolist()]
    table = pa.table({"path": paths, "labels": [["dog"], ["cat"], []] * 20})
    with (
        pa.OSFile(str(tmp_path / "x.arrow"), "wb") as file,
        pa.ipc.new_file(file, table.schema) as w,
    ):
        w.write_table(table)
    needles = load_needles(tmp_path / "x.arrow", vocabulary=vocabulary("esc-50"))
    assert isinstance(needles.needles, NeedleTable)
    few = replace(needles, needles=needles.needles[5:30])
    for each in (needles, few):
        by_column = ShardLayout.of_needles(each)
        one_by_one = ShardLayout.of_needles(replace(each, needles=tuple(each.needles)))
        assert np.array_equal(by_column.rows, one_by_one.rows)
        assert np.array_equal(by_column.starts, one_by_one.starts)


def test_fewer_clips_than_a_batch_are_one_batch() -> None:
    few = SparseLabels.from_dense(np.eye(3, dtype=np.float32))
    layout = ShardLayout(np.arange(3, dtype=np.int32), np.array([0, 3]))
    made = recipe(batch_size=8, epochs=1, pipeline="waveform", shuffle_buffer=8)
    planner = ShardPlanner(made, few, layout, frames=100, mels=128)
    assert len(planner) == 1
    assert sorted(planner[0].rows) == [0, 1, 2]
