"""All tables of a report in one file: LaTeX for a paper, CSV for a spreadsheet."""

from collections.abc import Iterable

from niah.system import spreadsheet
from niah.system.printable import printable
from niah.tables.table import Table, latex_text

LATEX_HEAD = r"""
% Tables of a run of Audio NIAH: \usepackage{booktabs,graphicx} in the preamble, \input{tables} in the text.
% A table that is wider than the page is scaled to it.
"""
_FITTED = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"


def headed(table: Table) -> tuple[str, str]:
    """Split a caption "Heading: how to read it" into a heading and a sentence."""
    heading, _, text = table.caption.partition(": ")
    return heading, text[:1].upper() + text[1:]


def latex_file(tables: Iterable[Table]) -> str:
    """Return floats with captions and labels, tab:niah-1 and on, with the rules of booktabs."""
    parts = [LATEX_HEAD.lstrip()]
    for number, table in enumerate(tables, 1):
        notes = "".join(f" {latex_text(note)}" for note in table.notes)
        parts.append(
            "\n".join(
                [
                    r"\begin{table*}",
                    r"\centering\footnotesize\setlength{\tabcolsep}{3pt}",
                    rf"\caption{{{latex_text(_sentence(table.caption))}{notes}}}",
                    rf"\label{{tab:niah-{number}}}",
                    _FITTED,
                    table.latex().partition("\n")[2].rstrip() + "}",
                    r"\end{table*}",
                    "",
                ]
            )
        )
    return printable("\n".join(parts))


def csv_file(tables: Iterable[Table]) -> str:
    """Return the tables one below another, each after a line with its heading, with an empty line between."""
    parts = []
    for table in tables:
        heading = spreadsheet.text((headed(table)[0],), ())
        parts.append(heading + table.csv())
    return printable("\n".join(parts))


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."
