"""Names that a card must not give to a file."""

BAD_NAMES = (
    "",
    ".",
    "..",
    "../x",
    "/abs/x",
    "a/../../x",
    "a\\b",
    "C:\\x",
    "a\x00b",
    "a\nb",
    "a\x1b[31mb",
    ".hidden",
    "x" * 201,
)
