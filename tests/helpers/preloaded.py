"""Programs in processes of their own, without each importing torch again.

A server process imports what `niah run` needs, once, and forks for every program. What a program does is as in a fresh
interpreter: its own memory, limits, signals and exit status. Where forking is not safe (macOS), each is a fresh one.
"""

import atexit
import ctypes
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

# what `niah run` and `niah train` import, most of it not before it is used
PRELOADED = (
    *("niah.cli", "niah.sweep.loop", "niah.pages.run_report", "niah.training.command"),
    *("accelerate", "matplotlib.pyplot", "pandas", "pyarrow.parquet", "tests.helpers.tiny"),
)


class ForkedProcess:
    """The part of `subprocess.Popen` that tests use."""

    def __init__(self, server: "Preloaded", pid: int, output: tuple[Path, Path]) -> None:
        self._server, self.pid, self._output = server, pid, output
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._server.ask({"poll": self.pid})
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float = 300.0) -> tuple[str, str]:
        """Wait for the end; return what it wrote to stdout and stderr."""
        deadline = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > deadline:
                self.kill()
                raise TimeoutError(f"process {self.pid} has not ended after {timeout:g} s")
            time.sleep(0.01)
        out, err = self._output
        return out.read_text(), err.read_text()


Process = ForkedProcess | subprocess.Popen[str]


class Preloaded:
    """The server; `start` runs a program."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = dict(environment)
        self._server: subprocess.Popen[str] | None = None
        self._folder = TemporaryDirectory()
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._server is not None:
            assert self._server.stdin is not None
            self._server.stdin.close()
            self._server.wait(timeout=60)
        self._folder.cleanup()

    def start(self, program: str, *arguments: object) -> Process:
        """Start a program (Python text) with `arguments` as `sys.argv[1:]`."""
        words = [str(argument) for argument in arguments]
        if sys.platform == "darwin":
            return subprocess.Popen(
                [sys.executable, "-c", program, *words],
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        self._count += 1
        out, err = (Path(self._folder.name) / f"{self._count}-{name}" for name in ("out", "err"))
        job = {"program": program, "arguments": words, "out": str(out), "err": str(err)}
        return ForkedProcess(self, self.ask(job), (out, err))

    def niah(self, *arguments: object) -> Process:
        """Start `niah ARGUMENTS`."""
        return self.start("import niah.cli; niah.cli.main()", *arguments)

    def ask(self, request: Mapping[str, Any]) -> Any:
        """Send the server one request; return its answer."""
        if self._server is None:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "tests.helpers.preloaded"],
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        print(json.dumps(request), file=self._server.stdin, flush=True)
        return json.loads(self._server.stdout.readline())


def _nothing() -> None:
    pass


def serve() -> None:
    """Answer requests: start a program, or tell whether one has ended."""
    # a shell's background jobs ignore it
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in PRELOADED:
        importlib.import_module(name)
    import numba
    import torch

    torch.set_num_threads(1)
    setattr(os, "fsync", lambda _: None)  # noqa: B010  # as in tests/conftest.py
    numba.njit()(_nothing)()  # the compiler's own set-up, once
    gc.collect()
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)  # free memory that imports left would hide what a program takes
    while line := sys.stdin.readline():
        request = json.loads(line)
        if "poll" in request:
            pid, status = os.waitpid(request["poll"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        else:
            answer = os.fork()
            if answer == 0:
                return _become(request)
        print(json.dumps(answer), flush=True)
    return None


def _become(request: Mapping[str, Any]) -> None:
    """In the child: run the program; an error leaves through the interpreter, as anywhere.

    A program that ends leaves by `_leave`: taking thousands of modules down takes two seconds.
    """
    for descriptor, name in ((0, os.devnull), (1, request["out"]), (2, request["err"])):
        flags = os.O_RDONLY if descriptor == 0 else os.O_WRONLY | os.O_CREAT
        os.dup2(os.open(name, flags), descriptor)
    sys.argv = ["-c", *request["arguments"]]
    try:
        exec(compile(request["program"], "<program>", "exec"), {"__name__": "__main__"})
    except SystemExit as ended:
        if not isinstance(ended.code, int | None):
            raise
        _leave(ended.code or 0)
    _leave(0)


def _leave(status: int) -> None:
    """End as the interpreter does, but for the modules: wait for threads, call what is registered, write all."""
    threading._shutdown()  # type: ignore[attr-defined]  # as the interpreter: executors end their workers
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    serve()
