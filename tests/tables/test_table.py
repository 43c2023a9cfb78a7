"""One table, five forms: none of them lets a text out of its cell, and a terminal's 80 columns are enough."""

import csv
import io
from io import StringIO

import pytest
from rich.console import Console

from niah.tables.table import Table, latex_text

TABLE = Table(
    "Share left; of 3 clips",
    ("model", "haystack", "position", "10 s", "50 s"),
    (
        ("a|b & <c>", "zero", "0.5", "0.812", "97 %"),
        ("=cmd()", "babble, 10 dB", "0.5", "0.812", "oom"),
        ("chance", "", "", "0.145", "18 %"),
    ),
    notes=("* of <few> clips",),
)


def test_markdown_and_html_escape_and_have_the_notes_below() -> None:
    markdown = TABLE.markdown()
    assert "a\\|b &amp; &lt;c&gt;" in markdown
    assert markdown.rstrip().endswith("> * of &lt;few&gt; clips".replace("*", "\\*"))
    html = TABLE.html()
    assert '<td class="text">a|b &amp; &lt;c&gt;</td><td class="text">zero</td><td>0.5</td>' in html
    assert '<tr class="chance"><td class="text">chance</td>' in html
    assert html.endswith('</table>\n<p class="note">* of &lt;few&gt; clips</p>')


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("0.323 (-33 % [-41, -26])", "<td>0.323 <small>(-33 % [-41, -26])</small></td>"),
        ("< 10 s [< 10 s, 10.6 s]", "<td>&lt; 10 s <small>[&lt; 10 s, 10.6 s]</small></td>"),
        ("(none)", "<td>(none)</td>"),
        ("out of memory", "<td>out of memory</td>"),
    ],
)
def test_html_sets_the_brackets_behind_a_number_apart(text: str, cell: str) -> None:
    assert cell in Table("", ("model", "10 s"), (("dass", text),)).html()


def test_csv_reads_back_and_runs_no_formula() -> None:
    header, *rows = csv.reader(StringIO(TABLE.csv()))
    assert tuple(header) == TABLE.header
    assert [row[0] for row in rows] == ["a|b & <c>", "'=cmd()", "chance"]
    assert [tuple(row[1:]) for row in rows] == [row[1:] for row in TABLE.rows]


def test_latex_is_a_tabular_of_escaped_cells() -> None:
    lines = TABLE.latex().splitlines()
    assert lines[0] == "% Share left; of 3 clips"
    assert lines[1] == r"\begin{tabular}{llrrr}"
    assert lines[3] == r"model & haystack & position & 10 s & 50 s \\"
    assert lines[5] == r"a$|$b \& $<$c$>$ & zero & 0.5 & 0.812 & 97 \% \\"
    assert lines[-1] == r"\end{tabular}"


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("0.323 (-32 % [-40, +3])", r"0.323 ($-$32 \% [$-$40, $+$3])"),
        ("≥ 300 s", r"$\geq$ 300 s"),
        ("ast-sin_nano", r"ast-sin\_nano"),
        (r"\input{x}", r"\textbackslash{}input\{x\}"),
        ("Straße, Vögel", r"Stra\ss{}e, V\"{o}gel"),
        ("niño, Łódź, cœur", r"ni\~{n}o, \L{}\'{o}d\'{z}, c\oe{}ur"),
        ("o\u0308", r"\"{o}"),  # as macOS writes file names
        ("Thủy, þing, 歌", r"Thuy, thing, ?"),
    ],
)
def test_latex_text(text: str, latex: str) -> None:
    assert latex_text(text) == latex


def drawn(table: Table, width: int) -> list[str]:
    console = Console(width=width)
    with console.capture() as capture:
        console.print(table)
    return capture.get().splitlines()


def test_a_terminal_of_80_columns_breaks_no_text() -> None:
    lengths = [f"{s} s" for s in (10, 20, 50, 100, 200, 300, 600)]
    wide = Table(
        "Share left",
        ("model", "haystack", "position", *lengths),
        tuple(
            (name, scene, "0.5", "0.812", *["97 %"] * 5, "out of memory")
            for name in ("dass-nano", "ast-sin-nano")
            for scene in ("zero", "babble-synthetic, 10 dB")
        ),
    )
    lines = drawn(wide, 80)
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert "Share left; position 0.5" in text
    for words in ("babble-synthetic, 10 dB", "out of memory", "600 s"):
        assert words in text
    assert text.count("babble-synthetic, 10 dB") == 4  # two models in two parts
    assert len(drawn(wide, 200)) < len(lines)  # wide enough: in one part, with the position
    assert "position " in "\n".join(drawn(wide, 200))


def test_markup_in_a_text_is_shown_as_it_is() -> None:
    assert any(
        "[bold]x[/bold]" in line for line in drawn(Table("c", ("a",), (("[bold]x[/bold]",),)), 80)
    )


@pytest.mark.parametrize(("encoding", "sign"), [("ascii", ">="), ("latin-1", ">="), ("utf-8", "≥")])
def test_a_terminal_without_a_sign_gets_it_in_letters(encoding: str, sign: str) -> None:
    output = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    table = Table("L85", ("model", "L85", "n"), (("a", "≥ 20 s", "1"), ("b", "9 s", "2")), ("≥ 5",))
    Console(file=output, width=60, no_color=True).print(table)
    output.flush()
    lines = [line.rstrip() for line in output.buffer.getvalue().decode(encoding).splitlines()]
    rows = [line for line in lines if line.strip(" |")[:1] in ("a", "b")]
    assert f"{sign} 20 s" in rows[0]
    assert len(rows[0]) == len(rows[1])  # columns stay below each other
    assert f"{sign} 5" in lines[-1]
