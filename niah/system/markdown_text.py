"""Text from outside (names, labels, errors) in the Markdown that this project writes: shown as it is, never obeyed.

Text is escaped whole, after it was put together. Brackets that stand alone, as in an interval [0.1, 0.2], are left as
they are: they mean something only before a ( [ or :, and every line that could define a reference is escaped as well.
"""

import re
from html import escape

_SPECIAL = re.compile(r"([\\`*~$|])")
_BRACKET = re.compile(r"([\[\]])")
_LINK = re.compile(r"\]\s*[(\[:]|!\[")


def plain(text: str) -> str:
    """`text` on one line, without tags, links, pictures, emphasis, code, mathematics or further table fields."""
    shown = _SPECIAL.sub(r"\\\1", escape(" ".join(text.split()), quote=False))
    return _BRACKET.sub(r"\\\1", shown) if _LINK.search(text) else shown
