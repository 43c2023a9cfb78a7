"""Names that every file, table and terminal takes."""


def printable(text: str) -> str:
    """Return the text with bytes of a file name that are not UTF-8 spelt out, as in `caf\\udce9`."""
    return text.encode(errors="backslashreplace").decode()
