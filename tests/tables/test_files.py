"""The tables of a report in one file each, for LaTeX and for spreadsheets."""

import csv
import re
import shutil
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest

from niah.system.spreadsheet import unguarded
from niah.tables.files import csv_file, latex_file
from niah.tables.table import Table
from tests.helpers.needed import missing

NAMES = (
    "a_b & 50 %",
    "[x] #1",
    "* star",
    "naïve Straße 歌 $x^2$",
    "ÀéîõüÅçñŠăēż Łódź ŐØþ ḥǖ",
    r"\input{passwd}",
    "~{<>|}\"'",
)
TABLES = [
    Table(
        "Share left: of 3 clips",
        ("model", "haystack", "position", "10 s", "50 s"),
        tuple((name, "zero", "0.5", "0.812 [0.7, 0.9]", "-32 % † ≥ 300 s") for name in NAMES),
        ("† moved — to the end",),
    ),
    Table("Effective length: in seconds", ("model", "L85"), (("a", "± 2 µs … × 3°"),)),
]


def test_latex_has_a_float_for_each_table() -> None:
    text = latex_file(TABLES)
    assert re.findall(r"\\(begin|end)\{(\w+)", text) == [
        each
        for _ in TABLES
        for each in (("begin", "table"), ("begin", "tabular"), ("end", "tabular"), ("end", "table"))
    ]
    assert re.findall(r"\\label\{(.*)\}", text) == ["tab:niah-1", "tab:niah-2"]
    assert text.isascii()
    plain = re.sub(r"\\[{}]|^%.*$", "", text, flags=re.MULTILINE)
    assert plain.count("{") == plain.count("}")
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    columns = [len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows]
    assert columns == [5] * (len(NAMES) + 1) + [2] * 2
    assert not [row for row in rows if row.startswith(("[", "*"))]  # would be \\\\'s own argument


def test_a_paper_with_the_tables_and_a_figure_compiles(tmp_path: Path) -> None:
    """With pdfTeX, warnings aside; a column figure fits its column."""
    if shutil.which("pdflatex") is None:
        if sys.platform == "darwin":
            pytest.skip("macOS has no LaTeX; the test above reads the file")
        missing("needs pdflatex with booktabs (texlive-latex-recommended)")
    from niah.plots.medium import COLUMN, drawn_for
    from niah.plots.style import in_style, new_grid, save

    with drawn_for(COLUMN), in_style():
        canvas, grid = new_grid(1, 1, (4.0, 3.0))
        grid[0][0].plot([1, 2])
        save(canvas, tmp_path / "figure.png", "title", "alt")
    (tmp_path / "tables.tex").write_text(latex_file(TABLES))
    (tmp_path / "paper.tex").write_text(
        r"""\documentclass[twocolumn]{article}\usepackage{booktabs,graphicx}\begin{document}
        \noindent\includegraphics[width=\columnwidth]{figure.pdf}

        Tables \ref{tab:niah-1} and \ref{tab:niah-2}.\input{tables}\end{document}"""
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    for _ in range(2):
        ran = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
        assert ran.returncode == 0, ran.stdout.decode(errors="replace")[-1500:]
    log = (tmp_path / "paper.log").read_text(errors="replace")
    assert "undefined" not in log
    assert "Overfull" not in log


def test_csv_has_each_table_after_its_heading() -> None:
    lines = list(csv.reader(StringIO(csv_file(TABLES))))
    assert lines[0] == ["Share left"]
    assert tuple(lines[1]) == TABLES[0].header
    read = [[unguarded(field) for field in line] for line in lines[2 : 2 + len(NAMES)]]
    assert read == [list(row) for row in TABLES[0].rows]
    assert lines[2 + len(NAMES) :] == [
        [],
        ["Effective length"],
        ["model", "L85"],
        ["a", TABLES[1].rows[0][1]],
    ]
