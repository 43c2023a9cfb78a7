"""run.json as sections of a page."""

from niah.pages.provenance import MOST_SHOWN, sections


def test_nested_names_are_joined_and_marks_of_clips_left_out() -> None:
    needles = {"clips": 2, "marks": "0123abcd4567ef01", "licence": "CC BY", "from": {"set": "esc"}}
    content = {"niah_version": "1", "needles": needles, "presets": ["fig4", "fig5"]}
    assert sections(content) == [
        ("niah_version", [("", "1")]),
        ("needles", [("clips", "2"), ("licence", "CC BY"), ("from.set", "esc")]),
        ("presets", [("", '["fig4", "fig5"]')]),
    ]


def test_of_thousands_of_clips_some_are_shown() -> None:
    clips = [{"id": f"clip{index}", "reason": "silent"} for index in range(1000)]
    ((_, pairs),) = sections({"excluded_clips": clips})
    assert len(pairs) == 2 * MOST_SHOWN + 1
    assert pairs[-1] == ("", f"... and {1000 - MOST_SHOWN} more")
