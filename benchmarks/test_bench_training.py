"""`make bench`: seconds and peak memory of a training step, through the loop that `niah train` runs.

A step's time is the least time between two asks for a batch; each model is its own process, whose peak it is. Beside it
stands the time that the step's matrix work takes at the machine's measured rate, three times the forward pass's.
"""

import json
import subprocess
import sys
from typing import Any

import pytest
import torch

pytestmark = pytest.mark.bench
STEPS = 6
Benchmark = Any  # pytest-benchmark has no types

ALONE = """
import json, sys, tempfile, time
from pathlib import Path
import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode
from niah.adapters import import_adapter
from niah.cards import find_model
from niah.system.memory import PeakMemory, keep_freed_memory
from niah.training.data.clips import FeatureClips
from niah.training.loop import train
from niah.training.processes import Processes
from niah.training.recipes import Recipe
from niah.vocabularies import vocabulary

model, batch, steps, device = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), torch.device(sys.argv[4])
keep_freed_memory()
torch.set_num_threads(2)
card, _ = find_model(model)
family, classes = import_adapter(card), len(vocabulary(card.labels_source))
frontend = family.default_frontend
rng = np.random.default_rng(0)
precision = "bfloat16" if device.type == "cuda" else "float32"


class Asked(FeatureClips):
    times = []

    def batch(self, step):
        self.times.append(time.perf_counter())
        return super().batch(step)


def clips(kind, count):
    shape = (count, frontend.needle_frames, frontend.mels)
    targets = np.eye(classes, dtype=np.float32)[np.arange(count) % classes]
    return kind(rng.normal(-6, 2, shape).astype(np.float16), targets)


recipe = Recipe(model=model, name=model, epochs=1, batch_size=batch, precision=precision)
network = family.build(card.config, classes)
peak, alone = PeakMemory(device), Processes(recipe, device)
with tempfile.TemporaryDirectory() as folder:
    train(recipe, network, frontend, clips(Asked, batch * steps), clips(FeatureClips, 2), Path(folder), processes=alone)
step = min(np.diff(Asked.times))
with FlopCounterMode(display=False) as counted:  # as in training: the tiles of a scored scene are other threads' work
    network.train()(torch.zeros(1, frontend.needle_frames, frontend.mels, device=device))
a, b = torch.randn(4096, 384, device=device), torch.randn(384, 1536, device=device)
rate = 0
for _ in range(20):
    begin = time.perf_counter()
    float((a @ b)[0, 0])
    rate = max(rate, 2 * 4096 * 384 * 1536 / (time.perf_counter() - begin))
work = 3 * batch * counted.get_total_flops() / rate
print(json.dumps({"s a step": step, "peak GiB": peak.bytes() / 2**30, "matrix work s": work}))
"""


@pytest.mark.parametrize(
    ("model", "batch"),
    [
        ("dass-nano", 16),
        ("ast-sin-nano", 16),
        ("dass-small", 4),
        ("ast-sin-small", 4),
        ("aum-tiny", 4),
    ],
)
def test_training_step(benchmark: Benchmark, model: str, batch: int) -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    command = [sys.executable, "-c", ALONE, model, str(batch), str(STEPS), device]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    found: dict[str, float] = json.loads(run.stdout.splitlines()[-1])
    benchmark.extra_info.update({"batch": batch, "device": device, **found})
    benchmark.pedantic(lambda: None, rounds=1)
    assert min(found["s a step"], found["matrix work s"]) > 0
