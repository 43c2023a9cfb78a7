"""Heartbeat of a worker: a process beside it that touches the worker's file until the worker is gone.

It is a process, not a thread, because a model that holds Python's interpreter lock for minutes would stop a thread, and
the worker would be taken for dead. It runs as a script, without site packages, and imports nothing of niah.

    python heartbeat.py FILE SECONDS
"""

import os
import select
import sys


def beat(file: str, every_s: float) -> None:
    """Touch a file again and again; end when stdin is closed, the parent is another, or the file is gone."""
    parent = os.getppid()
    while True:
        try:
            os.utime(file)
        except FileNotFoundError:
            return
        except OSError:
            pass  # a server that does not answer for a while
        readable, _, _ = select.select([0], [], [], every_s)
        if readable or os.getppid() != parent:
            return


if __name__ == "__main__":
    beat(sys.argv[1], float(sys.argv[2]))
