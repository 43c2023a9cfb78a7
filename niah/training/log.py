"""What a run tells while it trains: a line an epoch in log.csv, and TensorBoard's events where it is installed."""

import csv
import io
from pathlib import Path
from typing import Any

from niah.system import atomic

LOG = "log.csv"
COLUMNS = (
    *("epoch", "step", "loss", "learning_rate"),
    *("validation_mAP", "validation_auc", "validation_d_prime", "averaged_mAP"),
)


def append(path: Path, line: dict[str, float]) -> None:
    """Add the epoch's line; a line of it that a kill left without its checkpoint is replaced."""
    lines: list[dict[str, Any]] = []
    if path.is_file():
        with path.open(newline="") as file:
            lines = [row for row in csv.DictReader(file) if int(row["epoch"]) < line["epoch"]]
    lines.append({key: round(value, 6) for key, value in line.items()})
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(lines)
    with atomic.atomic_write(path) as stream:
        stream.write(text.getvalue().encode())


class Events:
    """TensorBoard's event file in `folder`; silent where tensorboard is not installed."""

    def __init__(self, folder: Path, first_step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            self._writer = None
            return
        # what a killed run wrote past its checkpoint is hidden
        self._writer = SummaryWriter(str(folder), purge_step=first_step)

    def add(self, step: int, values: dict[str, float]) -> None:
        if self._writer is None:
            return
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
