"""A scheduler and workers of dask.distributed as processes of their own, on loopback."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from niah.cluster.settings import SCHEDULER, environment


class DaskProcesses:
    """A scheduler, and workers that are added to it; all end with the block."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self.folder = folder
        scheduler = {
            f"DASK_{name.upper().replace('.', '__').replace('-', '_')}": str(value)
            for name, value in SCHEDULER.items()
        }
        self.env = {**os.environ, **env, **environment(), **scheduler}
        self.processes: list[subprocess.Popen[bytes]] = []
        self.port = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for process in self.processes:
            process.kill()
            process.wait(timeout=60)

    def scheduler(self) -> subprocess.Popen[bytes]:
        """Start the scheduler; again at the same port if there was one."""
        file = self.folder / "scheduler.json"
        file.unlink(missing_ok=True)
        process = self._start(
            *("scheduler", "--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard"),
            *("--scheduler-file", str(file)),
        )
        deadline = time.monotonic() + 120
        while not file.exists() or not file.read_text():
            assert process.poll() is None, "the scheduler has ended"
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.1)
        self.address = str(json.loads(file.read_text())["address"])
        self.port = int(self.address.rpartition(":")[2])
        return process

    def worker(self) -> subprocess.Popen[bytes]:
        """Start a worker without a nanny: it does not come back when it is killed."""
        return self._start(
            *("worker", self.address, "--no-nanny", "--nthreads", "1", "--memory-limit", "0"),
            *("--no-dashboard", "--local-directory", str(self.folder)),
        )

    def _start(self, role: str, *arguments: str) -> subprocess.Popen[bytes]:
        log = (self.folder / f"{role}-{len(self.processes)}.log").open("wb")
        program = [sys.executable, "-m", f"distributed.cli.dask_{role}", *arguments]
        process = subprocess.Popen(program, env=self.env, stdout=log, stderr=log)
        self.processes.append(process)
        return process
