"""Numbers in sentences and tables: what rounds to zero has no sign; of one recording there is no interval."""

from math import isnan


def number_text(value: float, form: str) -> str:
    """Return a number in a format of Python's; "0" rather than "-0" or "+0".

    Args:
        value: any number.
        form: for example ".0f" or "+.3f".
    """
    text = format(value, form)
    return text.lstrip("+-") if float(text) == 0 else text


def interval_text(value: float, low: float, high: float, form: str) -> str:
    """Return a number with its bounds, "0.71 [0.60, 0.80]"; without them where they are NaN.

    Args:
        value: any number.
        low: lower bound.
        high: upper bound.
        form: of each.
    """
    value_text, *bounds = (number_text(each, form) for each in (value, low, high))
    return value_text if isnan(low) or isnan(high) else f"{value_text} [{', '.join(bounds)}]"
