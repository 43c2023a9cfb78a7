"""Slurm itself on this machine: munge, a controller and one node, on loopback, in a folder of the test's."""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Self

from tests.helpers.needed import missing

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel")
_PATHS = "/usr/sbin", "/usr/local/sbin"  # daemons, which are not on every user's path


def require_slurm() -> None:
    """Skip, or fail in CI, where Slurm is not installed (.ci/slurm installs it)."""
    absent = [name for name in PROGRAMS if _program(name) is None]
    if absent:
        missing(f"needs Slurm ({', '.join(absent)}): apt-get install slurm-wlm munge")
    if os.geteuid() != 0:
        missing("needs root: Slurm's node starts the jobs of its users")


def _program(name: str) -> str | None:
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *_PATHS]))


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Slurm:
    """A cluster of one node with the machine's cores, up while the block lasts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.conf = folder / "slurm.conf"
        self.env = {**os.environ, "SLURM_CONF": str(self.conf)}
        self._daemons: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        try:
            self._munge()
            self._write_conf()
            self._daemon("slurmctld", "-D", "-i", "-f", str(self.conf))
            self._wait(lambda: self.run("squeue").returncode == 0, "the controller does not answer")
            self._daemon("slurmd", "-D", "-N", self.node, "-f", str(self.conf))
            self._wait(lambda: "idle" in self.run("sinfo", "-h", "-o", "%T").stdout, "no node")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        if self._daemons:
            self.run("scancel", "--user", "root", "--signal=KILL", "--full")
            self.run("scancel", "--user", "root")
        for daemon in reversed(self._daemons):
            daemon.terminate()
            try:
                daemon.wait(timeout=30)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of Slurm's commands."""
        path = _program(program)
        assert path is not None
        return subprocess.run(
            [path, *arguments],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def submit(self, script: Path, *options: str) -> str:
        """Submit a job script; return the job's number."""
        answer = self.run("sbatch", "--parsable", *options, str(script))
        assert answer.returncode == 0, answer.stderr
        return answer.stdout.strip()

    def wait_for(self, job: str, patience_s: float = 300.0) -> None:
        """Wait until a job, or all of its array, has left the queue."""

        def is_over() -> bool:
            return not self.run("squeue", "-h", "-j", job).stdout.strip()

        self._wait(is_over, f"job {job} has not ended", patience_s)

    @property
    def node(self) -> str:
        """Name of the machine."""
        return socket.gethostname().partition(".")[0]

    def _munge(self) -> None:
        key, self.socket = self.folder / "munge.key", self.folder / "munge.socket"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        # forced, since the folders of tests are not as private as it wants
        self._daemon(
            *("munged", "--foreground", "--force", f"--key-file={key}", f"--socket={self.socket}"),
            *(f"--pid-file={self.folder}/munge.pid", f"--seed-file={self.folder}/munge.seed"),
            f"--log-file={self.folder}/munge.log",
        )
        self._wait(self.socket.exists, "munge does not start")

    def _write_conf(self) -> None:
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        memory_mb = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20 // 2
        self.conf.write_text(f"""
ClusterName=niah
SlurmctldHost={self.node}(127.0.0.1)
SlurmctldPort={_free_port()}
SlurmdPort={_free_port()}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={self.socket}
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,bf_interval=1,sched_min_interval=100000
ReturnToService=2
KillWait=5
StateSaveLocation={self.folder}/state
SlurmdSpoolDir={self.folder}/spool
SlurmctldPidFile={self.folder}/slurmctld.pid
SlurmdPidFile={self.folder}/slurmd.pid
SlurmctldLogFile={self.folder}/slurmctld.log
SlurmdLogFile={self.folder}/slurmd.log
NodeName={self.node} NodeAddr=127.0.0.1 CPUs={os.cpu_count()} RealMemory={memory_mb} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
""")

    def _daemon(self, program: str, *arguments: str) -> None:
        path = _program(program)
        assert path is not None
        log = (self.folder / f"{program}.out").open("wb")
        daemon = subprocess.Popen([path, *arguments], env=self.env, stdout=log, stderr=log)
        self._daemons.append(daemon)

    def _wait(self, condition: object, what: str, patience_s: float = 60.0) -> None:
        assert callable(condition)
        deadline = time.monotonic() + patience_s
        while not condition():
            if time.monotonic() > deadline or any(
                each.poll() is not None for each in self._daemons
            ):
                logs = [
                    file.read_text(errors="replace")[-1500:]
                    for file in (*self.folder.glob("*.log"), *self.folder.glob("*.out"))
                ]
                raise AssertionError("\n".join([what, *logs]))
            time.sleep(0.2)
