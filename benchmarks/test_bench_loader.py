"""`make bench`: clips a second that one core reads, decodes and makes features of, as `niah train` does.

Ten-second FLAC clips in tar and Parquet shards, at random places and from beginning to end. The shards are in the page
cache, so what is measured is the processor's work; on a disk or network whose reads are slower than that, reading from
beginning to end is what keeps its pace. `decoded` is the sound alone, as for a GPU that computes the filter bank.
"""

import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

pytestmark = pytest.mark.bench
Benchmark = Any  # pytest-benchmark has no types
CLIPS, SHARDS = 1200, 6

ALONE = """
import json, sys, time
import torch
from niah.frontends.kaldi import KaldiFrontend
from niah.needles import load_needles
from niah.training.data.batch_plan import BatchPlanner
from niah.training.data.clips import SoundClips
from niah.training.data.labels import SparseLabels
from niah.training.data.loading import batches, shard_batches
from niah.training.data.shard_clips import BadClips, ShardClips
from niah.training.data.shard_plan import ShardLayout, ShardPlanner
from niah.training.recipes import Recipe
from niah.vocabularies import vocabulary

folder, buffer, on_device = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "decoded"
torch.set_num_threads(1)
needles, frontend = load_needles(folder, vocabulary=vocabulary("esc-50")), KaldiFrontend()
recipe = Recipe(model="", batch_size=12, epochs=2, pipeline="waveform", shuffle_buffer=buffer, mixup_rate=0.5)
labels, sizes = SparseLabels.from_needles(needles), {"frames": frontend.needle_frames, "mels": frontend.mels}
options = {"first": 0, "share": slice(None), "workers": 0, "device": torch.device("cpu")}
if buffer:
    planner = ShardPlanner(recipe, labels, ShardLayout.of_needles(needles), **sizes)
    steps = shard_batches(ShardClips(needles, frontend, labels, planner, BadClips(0.0, print), on_device), **options)
else:
    planner = BatchPlanner(recipe, labels, **sizes)
    steps = batches(SoundClips(needles, frontend, labels, on_device), planner, **options)
next(steps)
seconds, clips = [], 0
for _ in range(3):
    begin, count = time.process_time(), 0
    for _ in range(planner.per_epoch // 4):
        count += len(next(steps)[1].targets)
    seconds.append((time.process_time() - begin) / count)
print(json.dumps({"clips a core second": 1 / min(seconds)}))
"""


def sound(index: int) -> bytes:
    """Ten seconds of noise with a moving spectrum, FLAC: about 250 kB."""
    rng = np.random.default_rng(index)
    noise = np.convolve(rng.standard_normal(160_000), np.hanning(4 + index % 30), "same")
    content = io.BytesIO()
    soundfile.write(content, 0.2 * noise / np.abs(noise).max(), 16_000, format="FLAC")
    return content.getvalue()


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("loader")
    sounds = [sound(k) for k in range(60)]
    clips = [(f"clip{k:04d}", sounds[k % 60], ("dog", "rain", "cat")[k % 3]) for k in range(CLIPS)]
    for kind in ("tar", "parquet"):
        (folder / kind).mkdir()
    for shard in range(SHARDS):
        own = clips[shard::SHARDS]
        columns = {
            "id": [name for name, _, _ in own],
            "audio": [{"bytes": content, "path": None} for _, content, _ in own],
            "labels": [label for _, _, label in own],
        }
        pq.write_table(pa.table(columns), folder / f"parquet/{shard}.parquet", row_group_size=100)
        with tarfile.open(folder / f"tar/{shard}.tar", "w") as stream:
            for name, content, label in own:
                for suffix, data in (("flac", content), ("cls", label.encode())):
                    entry = tarfile.TarInfo(f"{name}.{suffix}")
                    entry.size = len(data)
                    stream.addfile(entry, io.BytesIO(data))
    return {kind: folder / kind for kind in ("tar", "parquet")}


@pytest.mark.parametrize("work", ["decoded", "features"])
@pytest.mark.parametrize("buffer", [0, 480])
@pytest.mark.parametrize("kind", ["tar", "parquet"])
def test_loader(
    benchmark: Benchmark, shards: dict[str, Path], kind: str, buffer: int, work: str
) -> None:
    command = [sys.executable, "-c", ALONE, str(shards[kind]), str(buffer), work]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    measured: dict[str, float] = json.loads(run.stdout.splitlines()[-1])
    order = "in order" if buffer else "at random"
    benchmark.extra_info.update({"shards": kind, "order": order, "work": work, **measured})
    benchmark.pedantic(lambda: None, rounds=1)
    assert measured["clips a core second"] > 0
    print(f"{kind}, {order}, {work}: {measured['clips a core second']:.0f} clips a core and second")
