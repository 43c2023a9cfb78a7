"""Logs of a training: a line for each epoch in log.csv, TensorBoard's events, and lines on stderr."""

import csv
import io
import sys
import time
from pathlib import Path
from typing import Any

from niah.errors import NiahError
from niah.system.atomic import atomic_write

LOG, EVENTS = "log.csv", "tensorboard"
COLUMNS = (
    *("epoch", "step", "loss", "learning_rate"),
    *("validation_mAP", "validation_auc", "validation_d_prime", "averaged_mAP"),
)
_LINE_EVERY_S = 600.0  # within a long epoch


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a log so far; none where there is no file.

    Raises:
        NiahError: a file that is no log, or a line whose epoch is no number.
    """
    if not path.is_file():
        return []
    advice = "move it away, or give another --out"
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise NiahError(f"{path} cannot be read ({error}): {advice}") from None
    for number, line in enumerate(lines, start=2):
        if set(line) != set(COLUMNS) or not str(line["epoch"]).isdecimal():
            raise NiahError(f"{path}, line {number}: is no line of a training's log: {advice}")
    return lines


def restored_log(
    path: Path, history: list[dict[str, float]], last: dict[str, float], *, finished: bool
) -> list[dict[str, float]]:
    """Return the epochs that a checkpoint has, and write the log again where it differs from them.

    The checkpoint has a checksum, the log has none: a flipped bit or an edited number in it is noted and mended. A line
    that a kill left without its checkpoint goes without a word.

    Args:
        path: the log.
        history: the checkpoint's epochs, values of `COLUMNS`; those of checkpoints without are read off the log.
        last: the checkpoint's last epoch; {} before the first.
        finished: no epoch is left.

    Raises:
        NiahError: as `read_log`, or the disk is full.
    """
    lines = read_log(path)  # a file that is no log is refused, not written over
    if not last:
        return []
    if not history:
        return [_numbers(line) for line in lines if int(line["epoch"]) <= last["epoch"]]
    text = _text(history)
    stored = path.read_bytes() if path.is_file() else b""
    if stored == text:
        return history
    if finished or not stored.startswith(text):
        what = "differs from" if stored else "is missing beside"
        print(f"note: {path} {what} the checkpoint: it is written again", file=sys.stderr)
    write_log(path, history)
    return history


def write_log(path: Path, history: list[dict[str, float]]) -> None:
    """Write a line for each epoch, values of `COLUMNS`.

    Raises:
        NiahError: the disk is full.
    """
    with atomic_write(path) as stream:
        stream.write(_text(history))


def _text(history: list[dict[str, float]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(history)
    return text.getvalue().encode()


def _numbers(line: dict[str, Any]) -> dict[str, float]:
    """Convert a line's texts: epoch and step to whole numbers."""
    try:
        return {
            name: int(text) if name in ("epoch", "step") else float(text)
            for name, text in line.items()
        }
    except (TypeError, ValueError):
        raise NiahError(
            f"the training's log has a line of other values than numbers: {line}"
        ) from None


class Events:
    """TensorBoard's event file in `folder`; nothing where tensorboard is not installed."""

    def __init__(self, folder: Path, first_step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            self._writer = None
            return
        # events that a killed run wrote past its checkpoint are hidden
        self._writer = SummaryWriter(str(folder), purge_step=first_step)

    def add(self, step: int, values: dict[str, float]) -> None:
        """Write scalars of a step.

        Args:
            step: counted over all epochs.
            values: scalars by name.
        """
        if self._writer is None:
            return
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is still in memory."""
        if self._writer is not None:
            self._writer.close()


class ProgressLines:
    """Lines on stderr in place of a progress bar: after each epoch, and every ten minutes within one."""

    def __init__(self, name: str, epochs: int, total_steps: int, *, silent: bool) -> None:
        self._name, self._epochs, self._total, self._silent = name, epochs, total_steps, silent
        self._last = time.monotonic()

    def step(self, step: int, detail: str) -> None:
        """Note a finished step; print it every ten minutes.

        Args:
            step: counted over all epochs.
            detail: text after the count.
        """
        if time.monotonic() - self._last >= _LINE_EVERY_S:
            self._print(f"step {step}/{self._total}, {detail}")

    def epoch(self, line: dict[str, float], seconds: float) -> None:
        """Print an epoch's line of the log.

        Args:
            line: values of `COLUMNS`.
            seconds: time that the epoch took.
        """
        self._print(
            f"epoch {line['epoch']:.0f}/{self._epochs}, loss {line['loss']:.4f}, "
            f"validation mAP {line['validation_mAP']:.3f}, {seconds:.0f} s"
        )

    def _print(self, text: str) -> None:
        self._last = time.monotonic()
        if not self._silent:
            print(f"{self._name}: {text}", file=sys.stderr, flush=True)
