"""Readers that do what none may do, so that the harness can be seen to notice."""

import os
import socket
import time
from pathlib import Path
from random import Random

from niah.errors import NiahError
from tests.fuzz import harness


def _made(_: Random, folder: Path) -> Path:
    (folder / "input").write_text("a text")
    return folder


def _refuses(_: Path) -> None:
    raise NiahError("no")


def _says_nothing(_: Path) -> None:
    raise NiahError("")


def _fails(_: Path) -> None:
    raise KeyError("x")


def _is_slow(_: Path) -> None:
    while time.process_time() < 1e9:
        pass


def _is_slow_and_refuses(_: Path) -> None:
    try:
        _is_slow(Path())
    except Exception as error:
        raise NiahError("no") from error


def _writes_beside(folder: Path) -> None:
    (folder.parent / "beside").write_text("x")


def _removes(folder: Path) -> None:
    (folder.parent / "up").unlink()


def _changes_its_input(folder: Path) -> None:
    os.truncate(folder / "input", 3)


def _starts(_: Path) -> None:
    os.system("true")


def _dies(_: Path) -> None:
    os.abort()


def _takes_all_memory(_: Path) -> None:
    bytearray(3 << 30)


def _connects(_: Path) -> None:
    socket.create_connection(("127.0.0.1", 9))


READERS: dict[str, tuple[harness.Read, str]] = {
    "refuses": (_refuses, "refused"),
    "says-nothing": (_says_nothing, "traceback"),
    "fails": (_fails, "traceback"),
    "is-slow": (_is_slow, "slow"),
    "is-slow-and-refuses": (_is_slow_and_refuses, "slow"),
    "writes-beside": (_writes_beside, "wrote"),
    "removes": (_removes, "wrote"),
    "changes-its-input": (_changes_its_input, "wrote"),
    "starts": (_starts, "started"),
    "dies": (_dies, "crash"),
    "takes-all-memory": (_takes_all_memory, "traceback"),
    "connects": (_connects, "refused"),
}


def main() -> None:
    """Print what the harness says of two inputs of each reader."""
    harness.CPU_S = 0.2
    for name, (read, _) in READERS.items():
        counts = harness.fuzz(harness.Loader(name, _made, read), 0, 2)
        kinds = [fault.kind for fault in counts.faults]
        print(name, *kinds, *["refused"] * counts.refused, *["accepted"] * counts.accepted)
