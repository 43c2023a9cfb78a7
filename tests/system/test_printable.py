"""Names as every file takes them: letters that turn the direction of a line are spelt out on pages, not in tables."""

from niah.system.printable import content_of, in_plain_signs


def test_letters_that_turn_the_line_are_spelt_out_on_pages() -> None:
    name = "a\u202egnp.b\u2067\udce9"
    assert content_of("report.html", name) == rb"a[U+202E]gnp.b[U+2067]\udce9"
    assert content_of("tables.csv", name).decode() == "a\u202egnp.b\u2067\\udce9"
    assert (
        content_of("tables.md", "\u05d0\u200f").decode() == "\u05d0\u200f"
    )  # words of their own direction stay


def test_signs_that_an_encoding_lacks_are_in_plain_letters() -> None:
    assert in_plain_signs("≥ 20 s, 3 × −1, 2–3 †, ü", "ascii") == ">= 20 s, 3 x -1, 2-3 +, ?"
    assert in_plain_signs("≥ 3 × ü", "latin-1") == ">= 3 × ü"
    assert in_plain_signs("≥ 3 × −1", "utf-8") == "≥ 3 × −1"
