"""Several processes train as one."""

import socket
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from niah.training.command import train_recipe
from niah.training.loop import train
from tests.helpers import tiny
from tests.helpers.preloaded import Preloaded
from tests.helpers.tiny_training import FRONTEND, Material, clips, network, own_weights, recipe

SHARED_TRAINING = """
import sys
from pathlib import Path
import torch
from niah.frontends.kaldi import KaldiFrontend
from niah.training.command import train_recipe
from niah.training.loop import train
from tests.helpers.tiny_training import clips, network, recipe

out, distilled = Path(sys.argv[1]), sys.argv[2]
given = recipe(epochs=3, batch_size=6, gain_db=6.0, mixup_rate=0.5, accumulate=3, average_last=2)
data = clips(13)  # an uneven validation set
trained = train(given, network(), KaldiFrontend(), data, data, out)
if torch.distributed.is_initialized() and torch.distributed.get_rank() == 0:
    torch.save(trained.state, out / "state.pt")
train_recipe(distilled, out / "distilled", device="cpu", workers=0)
"""


def torchrun(script: Path, arguments: list[str], cache: Path) -> None:
    launch = [
        sys.executable,
        *("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
    ]
    done = subprocess.run(
        [*launch, str(script), *arguments],
        env=tiny.environment(cache),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def two_forks(preloaded: Preloaded, script: Path, arguments: list[str]) -> None:
    """Start the script twice with the variables that torchrun sets, without importing torch three times."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = []
    for rank in ("0", "1"):
        variables = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
        variables |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        program = f"import os; os.environ.update({variables!r})\n{script.read_text()}"
        processes.append(preloaded.start(program, *arguments))
    for process in processes:
        _, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors[-2000:]


@pytest.mark.parametrize("launcher", ["forks", pytest.param("torchrun", marks=pytest.mark.slow)])
def test_two_processes_train_as_one(
    launcher: str, material: Material, preloaded: Preloaded, cache: Path, tmp_path: Path
) -> None:
    """The same losses and validation scores at the same batch, through accelerate and gloo, and with a teacher.

    (On CPUs `accelerate launch` starts several processes through MPI alone; torchrun starts the same.)
    """
    teacher = own_weights(tiny.card(tmp_path, "teacher", hidden=8), tiny.checkpoint(tmp_path, 3, 8))
    distilled = str(
        material.recipe("distilled", teacher=str(teacher), teaching="precomputed", epochs=2)
    )
    script = tmp_path / "shared_training.py"
    script.write_text(SHARED_TRAINING)
    arguments = [str(tmp_path / "two"), distilled]
    if launcher == "torchrun":
        torchrun(script, arguments, cache)
    else:
        two_forks(preloaded, script, arguments)
    data = clips(13)
    small_recipe = recipe(
        epochs=3, batch_size=6, gain_db=6.0, mixup_rate=0.5, accumulate=3, average_last=2
    )
    one = train(small_recipe, network(), FRONTEND, data, data, tmp_path / "one")
    logs = [pd.read_csv(tmp_path / name / "log.csv") for name in ("one", "two")]
    pd.testing.assert_frame_equal(logs[0], logs[1], rtol=1e-4, atol=2e-6)
    for key, value in torch.load(tmp_path / "two" / "state.pt", weights_only=True).items():
        torch.testing.assert_close(value, one.state[key], rtol=1e-4, atol=1e-6)
    alone = train_recipe(distilled, tmp_path / "alone", device="cpu", workers=0)
    for key, value in load_file(alone).items():
        shared = load_file(tmp_path / "two" / "distilled" / alone.name)[key]
        torch.testing.assert_close(shared, value, rtol=1e-4, atol=1e-6)
