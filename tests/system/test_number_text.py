"""Numbers in words: a value that rounds to zero has no sign."""

import pytest

from niah.system.number_text import interval_text, number_text


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        *[(-0.0004, "+.3f", "0.000"), (0.0004, "+.3f", "0.000"), (-0.0, ".0f", "0")],
        *[(-0.4, ".0f", "0"), (0, "+d", "0"), (-1, "+d", "-1"), (0.0006, "+.3f", "+0.001")],
        *[(-0.6, ".0f", "-1"), (102.50014, ".0f", "103"), (float("inf"), "+.1f", "+inf")],
    ],
)
def test_what_rounds_to_zero_has_no_sign(value: float, form: str, text: str) -> None:
    assert number_text(value, form) == text


def test_a_value_without_bounds_has_no_brackets() -> None:
    nan = float("nan")
    assert interval_text(0.5, 0.25, 0.75, ".2f") == "0.50 [0.25, 0.75]"
    assert interval_text(0.0, -0.001, 0.5, "+.2f") == "0.00 [0.00, +0.50]"
    assert interval_text(0.5, nan, nan, ".2f") == "0.50"
