"""The figures of a report, for a page and for a column; those of a large run in two processes at once."""

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from niah import plots
from niah.diagnosis.events import figure as event_figure
from niah.diagnosis.events.rows import read as events_of
from niah.diagnosis.false_alarms import figure as false_alarms
from niah.diagnosis.false_alarms.rows import RecallAtRate
from niah.diagnosis.localisation import figure as localisation
from niah.diagnosis.localisation.rows import read as located
from niah.diagnosis.several_needles import figure as several_needles
from niah.diagnosis.several_needles.rows import SeveralNeedles
from niah.diagnosis.streaming import figure as stream_figure
from niah.diagnosis.streaming.rows import read_curves
from niah.plots.medium import COLUMN, PAGE, Medium, drawn_for
from niah.plots.published import draw_published

if TYPE_CHECKING:
    import pandas as pd

MEDIA = {"page": PAGE, "column": COLUMN}
MANY_CELLS = 300  # whose figures take longer than the start of a process, 2 s


@dataclass(frozen=True)
class FigureContent:
    """Rows and options that the figures of a run are drawn from.

    Attributes:
        run: the run's folder.
        cells: its table.
        recalls: recall at false alarms.
        several: recall of several needles.
        presets: names of the presets that it is of.
    """

    run: Path
    cells: "pd.DataFrame"
    recalls: Sequence[RecallAtRate]
    several: Sequence[SeveralNeedles]
    presets: Sequence[str]

    def draw(self, medium: Medium) -> list[plots.Figure]:
        """Draw and write every figure for a medium.

        Raises:
            NiahError: the folder cannot be written to.
        """
        folder = self.run / "figures"
        with drawn_for(medium):
            figures = [*plots.draw(self.cells, folder), *false_alarms.draw(self.recalls, folder)]
            figures += several_needles.draw(self.several, folder)
            figures += event_figure.draw(events_of(self.run), folder)
            figures += stream_figure.draw(read_curves(self.run), folder)
            figures += localisation.draw(located(self.run), folder)
            return figures + draw_published(self.cells, self.presets, folder)


@contextmanager
def drawn_beside(
    content: FigureContent, *, columns: bool
) -> Iterator[Callable[[], list[plots.Figure]]]:
    """Draw figures beside the block, each medium in a process of its own if there are many.

    Args:
        content: of the figures.
        columns: draw them for a column too.

    Yields:
        A function that waits until all are drawn and returns those of the page.
    """
    many = len(content.cells) > MANY_CELLS and (os.cpu_count() or 1) > 1
    with (
        _drawing(content, COLUMN, beside=many and columns) as column,
        _drawing(content, PAGE, beside=many) as page,
    ):

        def drawn() -> list[plots.Figure]:
            if columns:
                column()
            return page()

        yield drawn


@contextmanager
def _drawing(
    content: FigureContent, medium: Medium, *, beside: bool
) -> Iterator[Callable[[], list[plots.Figure]]]:
    """Draw for a medium: in a process that the function waits for, or in this one where none does it."""
    if not beside:
        yield lambda: content.draw(medium)
        return
    with tempfile.TemporaryFile() as order, tempfile.TemporaryFile() as result:
        pickle.dump(content, order)
        order.seek(0)
        (name,) = (name for name, known in MEDIA.items() if known is medium)
        command = [sys.executable, "-m", "niah.pages.figures", name]
        try:
            process = subprocess.Popen(
                command, stdin=order, stdout=result, stderr=subprocess.DEVNULL
            )
        except OSError:  # no process can be started
            yield lambda: content.draw(medium)
            return

        def drawn() -> list[plots.Figure]:
            if process.wait() != 0:
                return content.draw(medium)
            result.seek(0)
            figures: list[plots.Figure] = pickle.load(result)
            return figures

        try:
            yield drawn
        finally:
            process.kill()
            process.wait()


def main() -> None:
    """Draw what standard input says for the medium of the first argument, and write the figures to standard output."""
    content: FigureContent = pickle.load(sys.stdin.buffer)
    pickle.dump(content.draw(MEDIA[sys.argv[1]]), sys.stdout.buffer)


if __name__ == "__main__":
    main()
