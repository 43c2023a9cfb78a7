"""The figures of a report, for a page and for a column; those of a large run in two processes at once."""

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
from niah.system.numpy_threads import cores
from niah.system.side_processes import beside

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
    media = [*(["column"] if columns else []), "page"]
    many = len(content.cells) > MANY_CELLS and cores() > 1
    processes = len(media) if many else 0
    with beside(_drawn, content, media, processes) as wait:
        yield lambda: wait(lambda _: None)[-1]


def _drawn(content: FigureContent, media: Sequence[str]) -> Iterator[list[plots.Figure]]:
    """Draw the figures for each medium, by its name."""
    for name in media:
        yield content.draw(MEDIA[name])
