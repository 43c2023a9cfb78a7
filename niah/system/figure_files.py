"""The file types of figures, as the environment asks for them."""

import os

from niah.errors import NiahError

VARIABLE = "NIAH_FIGURES"


def wants_columns() -> bool:
    """Return whether figures are written as SVG and PDF too: unless $NIAH_FIGURES is "png", which is faster.

    Raises:
        NiahError: it has another value.
    """
    value = os.environ.get(VARIABLE, "")
    if value.lower() not in ("", "png"):
        raise NiahError(
            f"{VARIABLE} must be png (no SVG and PDF) or not be set, but is '{value:.40}'"
        )
    return not value
