"""Processes that end with the one that started them, however that ended."""

import os
import threading
import time

_LOOK_EVERY_S = 0.5


def end_with(parent: int) -> None:
    """End this process, at once and with status 1, when its parent is another than `parent`.

    A thread looks, so that work in torch and waiting for other processes, which release the interpreter lock, do not
    keep this one.

    Args:
        parent: id of the process that started this one.
    """
    threading.Thread(target=_look, args=[parent], daemon=True).start()


def _look(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_EVERY_S)
    os._exit(1)
