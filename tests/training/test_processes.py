"""Several processes train as one."""

import socket
import subprocess
import sys
import time
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
from tests.system.test_side_processes import is_running

SHARED_TRAINING = """
import sys
import time
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


SHARED_BATCH = """
import sys
import time
from pathlib import Path
import torch
from niah.errors import NiahError
from niah.training.loop import train
from niah.training.processes import Processes
from tests.helpers.tiny_training import FRONTEND, clips, network, recipe

for values in ({"batch_size": 5}, {"batch_size": 16}):
    try:
        train(recipe(**values), network(), FRONTEND, clips(5), clips(6), Path(sys.argv[1]))
    except NiahError as error:
        Path(sys.argv[1], f"refused-{torch.distributed.get_rank()}-{values['batch_size']}").write_text(str(error))
"""


def test_a_batch_that_cannot_be_shared_evenly_is_refused(
    preloaded: Preloaded, tmp_path: Path
) -> None:
    """Also one of all clips, where these are fewer than a batch: a rank's clips would weigh more than another's."""
    script = tmp_path / "shared_batch.py"
    script.write_text(SHARED_BATCH)
    two_forks(preloaded, script, [str(tmp_path)])
    texts = [file.read_text() for file in sorted(tmp_path.glob("refused-*"))]
    assert len(texts) == 4
    assert all("5 clips" in text and "evenly by 2 processes" in text for text in texts)


PROCESS_OF_A_LAUNCHER = """
import os, sys, time
from pathlib import Path
import torch
from niah.training.processes import Processes
from tests.helpers.tiny_training import recipe

Processes(recipe(), torch.device("cpu"))
Path(sys.argv[1]).write_text(str(os.getpid()))
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
def test_a_process_ends_with_its_launcher(tmp_path: Path) -> None:
    """One that trained on would keep the folder and the cores from the same command, given again."""
    script, pid = tmp_path / "script.py", tmp_path / "pid"
    script.write_text(PROCESS_OF_A_LAUNCHER)
    launcher = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import subprocess, sys; subprocess.run([sys.executable, *sys.argv[1:]])",
            *(str(script), str(pid)),
        ],
        env={**tiny.environment(tmp_path), "TORCHELASTIC_RUN_ID": "none"},
    )
    deadline = time.monotonic() + 120
    while not (pid.is_file() and pid.read_text()):
        assert launcher.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    launcher.kill()
    launcher.wait()
    deadline = time.monotonic() + 20
    while is_running(Path("/proc") / pid.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
