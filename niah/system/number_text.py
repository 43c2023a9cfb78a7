"""Numbers in sentences and tables: what rounds to zero has no sign."""


def number_text(value: float, form: str) -> str:
    """Return a number in a format of Python's; "0" rather than "-0" or "+0".

    Args:
        value: any number.
        form: for example ".0f" or "+.3f".
    """
    text = format(value, form)
    return text.lstrip("+-") if float(text) == 0 else text
