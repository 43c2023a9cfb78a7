"""A table of texts, as Markdown, HTML, CSV, LaTeX or on a terminal."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Literal

from niah.system import spreadsheet
from niah.system.markdown_text import plain
from niah.system.printable import in_plain_signs

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.table import Table as RichTable

CHANCE = "chance"  # first text of a row that shows the floor of random scores
_GAP = 1  # characters between two columns on a terminal
_LATEX = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"≥": r"$\geq$", "≤": r"$\leq$", "<": r"$<$", ">": r"$>$", "±": r"$\pm$", "|": r"$|$"},
    **{"†": r"\dag{}", "–": "--", "—": "---", "−": "$-$", "×": r"$\times$", "…": r"\ldots{}"},
    **{"·": r"$\cdot$", "²": "$^2$", "°": r"$^\circ$", "µ": r"$\mu$", "'": "'", '"': "''"},
    **{"ß": r"\ss{}", "æ": r"\ae{}", "Æ": r"\AE{}", "œ": r"\oe{}", "Œ": r"\OE{}", "ø": r"\o{}"},
    **{
        "Ø": r"\O{}",
        "ł": r"\l{}",
        "Ł": r"\L{}",
        "ı": r"\i{}",
        "đ": "d",
        "Đ": "D",
        "ð": "d",
        "Ð": "D",
    },
    **{"þ": "th", "Þ": "Th"},
}
_LATEX_ACCENTS = {  # by the combining character
    **{"\u0300": r"\`", "\u0301": r"\'", "\u0302": r"\^", "\u0303": r"\~", "\u0304": r"\="},
    **{"\u0306": r"\u", "\u0307": r"\.", "\u0308": r"\"", "\u030a": r"\r", "\u030b": r"\H"},
    **{"\u030c": r"\v", "\u0323": r"\d", "\u0327": r"\c", "\u0331": r"\b"},
}


@dataclass(frozen=True)
class Table:
    """A caption, a header, rows of as many texts, and notes below."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    @property
    def n_text_columns(self) -> int:
        """Return the number of leading columns with words; the others have numbers and are right-aligned."""
        return self.header.index("position") if "position" in self.header else 1

    def markdown(self) -> str:
        """Return GitHub Markdown with the caption above; every text is escaped."""
        rule = ["---"] * len(self.header)
        body = [_markdown_row(row) for row in (self.header, rule, *self.rows)]
        notes = [line for note in self.notes for line in (f"> {plain(note)}", "")]
        return "\n".join([plain(self.caption), "", *body, "", *notes])

    def html(self) -> str:
        """Return an escaped `<table>` and a paragraph for each note, without the caption.

        Words have the class "text", the row of the chance floor the class "chance"; brackets behind a number are in a
        `<small>`, which a page may set on a line of its own.
        """
        heads = "".join(self._html_cells("th", self.header))
        rows = []
        for row in self.rows:
            kind = f' class="{CHANCE}"' if row[0] == CHANCE else ""
            rows.append(f"<tr{kind}>{''.join(self._html_cells('td', row))}</tr>")
        notes = "".join(f'\n<p class="note">{escape(note)}</p>' for note in self.notes)
        return (
            f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>{notes}"
        )

    def _html_cells(self, tag: str, texts: Iterable[str]) -> Iterator[str]:
        for index, text in enumerate(texts):
            if index < self.n_text_columns:
                yield f'<{tag} class="text">{escape(text)}</{tag}>'
            else:
                number, brackets = _before_brackets(escape(text))
                yield f"<{tag}>{number}{brackets and f' <small>{brackets}</small>'}</{tag}>"

    def csv(self) -> str:
        """Return the header and rows as CSV; no text is a formula to a spreadsheet."""
        return spreadsheet.text(self.header, self.rows)

    def latex(self) -> str:
        """Return a `tabular` with the rules of the booktabs package, the caption as a comment."""
        words = self.n_text_columns
        columns = "l" * words + "r" * (len(self.header) - words)
        body = [" & ".join(map(latex_text, row)) + r" \\" for row in (self.header, *self.rows)]
        # a row that begins with a bracket or a star would be an argument of the line break before it
        body = [f"{{}}{row}" if row.startswith(("[", "*")) else row for row in body]
        return "\n".join(
            [
                f"% {' '.join(self.caption.split())}",
                rf"\begin{{tabular}}{{{columns}}}",
                r"\toprule",
                body[0],
                r"\midrule",
                *body[1:],
                r"\bottomrule",
                r"\end{tabular}",
                "",
            ]
        )

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        """Draw the table within the terminal's width, in several parts if necessary."""
        plain_signs = partial(in_plain_signs, encoding=options.encoding)
        yield from Table(  # before columns are measured: ">=" is wider than its sign
            plain_signs(self.caption),
            tuple(map(plain_signs, self.header)),
            tuple(tuple(map(plain_signs, row)) for row in self.rows),
            tuple(map(plain_signs, self.notes)),
        )._on_terminal(options.max_width)

    def _on_terminal(self, width: int) -> "RenderResult":
        from rich.markup import escape as escape_markup

        keys = list(range(self._n_key_columns))
        caption = self.caption
        if sum(self._widths()) > width:
            caption, keys = self._without_constant(keys)
        for index, columns in enumerate(self._parts(keys, width)):
            yield self._drawn(columns, "" if index else caption)
        for note in self.notes:
            yield escape_markup(note)

    def _drawn(self, columns: list[int], caption: str) -> "RichTable":
        from rich import box
        from rich.markup import escape as escape_markup
        from rich.table import Table as RichTable

        drawn = RichTable(
            title=escape_markup(caption) or None,
            title_justify="left",
            box=box.SIMPLE_HEAD,
            padding=(0, _GAP, 0, 0),
            pad_edge=False,
        )
        for index in columns:
            side: Literal["left", "right"] = "left" if index < self.n_text_columns else "right"
            drawn.add_column(escape_markup(self.header[index]), justify=side, overflow="fold")
        for row in self.rows:
            drawn.add_row(*(escape_markup(row[index]) for index in columns))
        return drawn

    @property
    def _n_key_columns(self) -> int:
        """Return the number of leading columns that name a row; each part of a wide table repeats them."""
        if "position" not in self.header:
            return 1
        return self.header.index("position") + (2 if "window" in self.header else 1)

    def _widths(self) -> list[int]:
        """Return the width of each column on a terminal, with its gap."""
        from rich.cells import cell_len

        columns = zip(self.header, *self.rows, strict=True)
        return [max(map(cell_len, column)) + _GAP for column in columns]

    def _without_constant(self, keys: list[int]) -> tuple[str, list[int]]:
        """Move key columns that are the same in every row into the caption, except the first."""
        rows = [row for row in self.rows if row[0] != CHANCE]
        constant = [i for i in keys[1:] if len(rows) > 1 and len({row[i] for row in rows}) == 1]
        said = [f"{self.header[i]} {rows[0][i]}" for i in constant if rows[0][i]]
        return "; ".join([self.caption, *said]), [i for i in keys if i not in constant]

    def _parts(self, keys: list[int], width: int) -> Iterator[list[int]]:
        """Split the other columns so that each part, with the key columns, fits `width`."""
        widths = self._widths()
        columns = list(keys)
        for index in range(self._n_key_columns, len(self.header)):
            full = sum(widths[i] for i in columns) + widths[index] > width
            if full and len(columns) > len(keys):
                yield columns
                columns = list(keys)
            columns.append(index)
        yield columns


def latex_text(text: str) -> str:
    """Escape `text` for a LaTeX cell, in ASCII; a sign that pdfLaTeX does not know becomes plain letters, or "?"."""
    composed = unicodedata.normalize("NFC", " ".join(text.split()))  # macOS names files in parts
    signs = "".join(_LATEX.get(sign) or _accented(sign) for sign in composed)
    return re.sub(r"(?<![\w.$])([+-])(?=\d)", r"$\1$", signs)


def _accented(sign: str) -> str:
    letter, *marks = list(unicodedata.normalize("NFD", sign))
    if not letter.isascii() or not {*marks} <= {*_LATEX_ACCENTS}:
        return _plain_letters(sign)
    text = _plain_letters(letter)
    for mark in marks:
        text = f"{_LATEX_ACCENTS[mark]}{{{text}}}"
    return text


def _plain_letters(sign: str) -> str:
    if sign.isascii():
        return sign if sign.isprintable() else "?"
    return unicodedata.normalize("NFKD", sign).encode("ascii", "ignore").decode() or "?"


def _before_brackets(text: str) -> tuple[str, str]:
    """Split "0.323 (-33 % [-41, -26])" before its first bracket; text without a number in front stays whole."""
    number = re.match(r"(\S.*?) (?=[(\[])", text)
    return (number[1], text[number.end() :]) if number else (text, "")


def _markdown_row(row: Iterable[str]) -> str:
    return "| " + " | ".join(map(plain, row)) + " |"
