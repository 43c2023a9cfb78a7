"""Odd values, and changes of bytes, trees, JSON, TOML and tables, drawn from a seeded generator."""

import copy
import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

INTEGERS = (
    *(
        0,
        1,
        -1,
        2,
        3,
        7,
        127,
        128,
        255,
        256,
        32767,
        65535,
        65536,
        10**6,
        2**31 - 1,
        2**31,
        2**32 - 1,
    ),
    *(2**36 - 1, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, -(2**63), 10**30),
)
FLOATS = (
    *(0.0, -0.0, 0.5, -1.5, 1e-320, 1e18, 1e19, 1.7e308, -1.7e308),
    *(float("nan"), float("inf"), float("-inf")),
)
TEXTS = (
    *("", " ", "\t", "nan", "inf", "-inf", "1e999", "1_000", "0x10", "True", "null", "٣", "-0"),
    *(
        "a\0b",
        "\ud800",
        "x\udfffy",
        "\ufeff",
        "\u2028",
        "\u202egnp",
        "a\rb",
        "a\nb",
        "\x1b[2J",
        "\x7f",
    ),
    *("../up.wav", "../../../up", "/etc/hostname", "/dev/null", "/dev/zero", "/proc/self/mem"),
    *(".", "..", "~", "~nobody/x", "C:\\x", "a/", "//a", "x" * 300 + ".wav", "long " * 2000),
    *(
        "=1+1",
        "@SUM(1)",
        '=HYPERLINK("http://x")',
        "<script>alert(1)</script>",
        "</style><img src=x>",
    ),
    *(
        "$a^{$",
        "$$",
        "$\\frac{",
        "%s%n",
        "{0}",
        "${HOME}",
        "`id`",
        "$(id)",
        "a,b",
        "a;b",
        '"',
        "'",
        "|",
    ),
    *("[x](javascript:alert(1))", "http://127.0.0.1:9/x", "http://[::1", "file:///etc/hostname"),
    *(
        "os:getcwd",
        "a:b:c",
        ":",
        "*",
        "**",
        "[",
        "?a=b",
        "/m/09x0r",
        "Speech",
        "dog",
        "first",
        "é" * 100,
    ),
)
# Values that a document cannot be built of: they go into its text as they are.
RAW_JSON = (
    *("9" * 5000, "-" + "9" * 400, "1e999", "NaN", "-Infinity", '"\\ud800"', '"\\u0000"', '"\\x"'),
    *("[" * 100_000, '{"a":' * 20_000, "[" * 900 + "]" * 900, "[" * 60 + "]" * 60, "01", "", "nul"),
)
RAW_TOML = (
    *(
        "9" * 5000,
        "0x" + "f" * 400,
        "1e999",
        "nan",
        "-inf",
        "1979-05-27",
        "07:32:00",
        "1979-05-27T07:32:00Z",
    ),
    *("[" * 3000, "[" * 90 + "]" * 90, "{a = " * 2000, '"""x\ny"""', "'''", "[[]]", "{}", "01", ""),
)
_BROKEN_BYTES = (
    b"\0",
    b"\xff",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xe2\x80\xa8",
    b"\x85",
    b"\x1a",
    b"\r",
)
_PLACE = "raw-value-{}-here"

Path = tuple[Any, ...]


def value(rng: Random, depth: int = 0) -> Any:
    """Return a value of any type."""
    kinds: tuple[Callable[[], Any], ...] = (
        lambda: None,
        lambda: rng.random() < 0.5,
        lambda: rng.choice(INTEGERS),
        lambda: rng.choice(FLOATS),
        lambda: rng.choice(TEXTS),
        lambda: rng.choice(TEXTS),
        lambda: [] if depth > 2 else [value(rng, depth + 1) for _ in range(rng.randrange(4))],
        lambda: (
            {} if depth > 2 else {text(rng): value(rng, depth + 1) for _ in range(rng.randrange(3))}
        ),
        lambda: nested(rng.choice((40, 200))),
    )
    return rng.choice(kinds)()


def text(rng: Random) -> str:
    return rng.choice(TEXTS)


def nested(depth: int) -> list[Any]:
    """Return a list in a list, `depth` times."""
    inner: list[Any] = []
    for _ in range(depth):
        inner = [inner]
    return inner


def changed_bytes(rng: Random, content: bytes, head: int = 0) -> bytes:
    """Return content with one to eight changes; two thirds of them in its first `head` bytes, where given."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 8))):
        if not changed:
            break
        near = min(head, len(changed)) if head and rng.random() < 0.67 else len(changed)
        _change(rng, changed, rng.randrange(near))
    return bytes(changed)


def _change(rng: Random, content: bytearray, at: int) -> None:
    size = rng.choice((1, 2, 4, 8, 16, 64, 1024))
    kind = rng.randrange(9)
    if kind == 0:
        content[at] ^= 1 << rng.randrange(8)
    elif kind == 1:
        content[at : at + size] = rng.randbytes(size)
    elif kind == 2:
        width = rng.choice((2, 4, 8))
        number = rng.choice(INTEGERS) % (1 << 8 * width)
        content[at : at + width] = number.to_bytes(width, rng.choice(("little", "big")))
    elif kind == 3:
        del content[at:]
    elif kind == 4:
        del content[at : at + size]
    elif kind == 5:
        content[at:at] = rng.randbytes(size)
    elif kind == 6:
        start = rng.randrange(len(content))
        content[at:at] = content[start : start + size]
    elif kind == 7:
        content[at : at + size] = bytes((rng.choice((0, 127, 128, 255)),)) * size
    else:
        content += rng.randbytes(size)


def paths(document: Any, above: Path = ()) -> list[Path]:
    """Return the path of everything in a tree of dicts and lists."""
    if isinstance(document, Mapping):
        pairs: Sequence[tuple[Any, Any]] = list(document.items())
    elif isinstance(document, list):
        pairs = list(enumerate(document))
    else:
        return []
    return [each for key, below in pairs for each in ((*above, key), *paths(below, (*above, key)))]


def changed_tree(rng: Random, document: Any, times: int = 0, values: Any = value) -> Any:
    """Return a copy with some parts replaced, removed, renamed, doubled, exchanged or of another type."""
    changed = copy.deepcopy(document)
    for _ in range(times or rng.choice((1, 1, 2, 4))):
        places = paths(changed)
        if not places:
            return values(rng)
        *above, key = rng.choice(places)
        holder = changed
        for step in above:
            holder = holder[step]
        kind = rng.randrange(12)
        if kind < 6:
            holder[key] = values(rng)
        elif kind == 6:
            del holder[key]
        elif kind == 7 and isinstance(holder, dict):
            holder[text(rng)] = holder.pop(key)
        elif kind == 8 and isinstance(holder, list):
            holder.insert(0, copy.deepcopy(holder[key]))
        elif kind == 9:
            holder[key] = rng.choice(([holder[key]], {"x": holder[key]}, str(holder[key]), None))
        elif kind == 10 and isinstance(holder, dict):
            other = rng.choice(list(holder))
            holder[key], holder[other] = holder[other], holder[key]
        elif isinstance(holder, dict):
            holder[text(rng)] = values(rng)
    return changed


def json_file(rng: Random, document: Any) -> bytes:
    """Return a document as JSON, damaged in one way or another."""
    kind = rng.random()
    if kind < 0.45:
        return recoded(rng, json.dumps(changed_tree(rng, document)))
    if kind < 0.7:
        return recoded(rng, _with_raw(rng, document, RAW_JSON, json.dumps))
    if kind < 0.75:
        return recoded(rng, json.dumps(value(rng)))
    return changed_bytes(rng, recoded(rng, json.dumps(document)))


def toml_file(rng: Random, table: dict[str, Any]) -> bytes:
    """Return a table as TOML, damaged in one way or another."""
    kind = rng.random()
    if kind < 0.6:
        changed = changed_tree(rng, table)
        return recoded(rng, toml_text(changed if isinstance(changed, dict) else {"x": changed}))
    if kind < 0.8:
        return recoded(rng, _with_raw(rng, table, RAW_TOML, toml_text))
    return changed_bytes(rng, recoded(rng, toml_text(table)))


def _with_raw(rng: Random, document: Any, raw: Sequence[str], written: Callable[[Any], str]) -> str:
    """Return the document's text with one value replaced by a text that stands for none."""
    marked = copy.deepcopy(document)
    *above, key = rng.choice(paths(marked))
    holder = marked
    for step in above:
        holder = holder[step]
    mark = _PLACE.format(rng.randrange(1000))
    holder[key] = mark
    return written(marked).replace(json.dumps(mark), rng.choice(raw))


def toml_text(table: Mapping[str, Any]) -> str:
    """Write a table as TOML: plain values, then its tables and lists of tables, one level deep."""
    lines, sections = [], []
    for key, each in table.items():
        if isinstance(each, Mapping) and each:
            sections += [f"[{json.dumps(str(key))}]", *_pairs(each)]
        elif isinstance(each, list) and each and all(isinstance(entry, Mapping) for entry in each):
            for entry in each:
                sections += [f"[[{json.dumps(str(key))}]]", *_pairs(entry)]
        else:
            lines += _pairs({key: each})
    return "\n".join((*lines, *sections, ""))


def _pairs(table: Mapping[Any, Any]) -> list[str]:
    return [f"{json.dumps(str(key))} = {_toml_value(each)}" for key, each in table.items()]


def _toml_value(each: Any) -> str:
    if isinstance(each, Mapping):
        return "{" + ", ".join(_pairs(each)) + "}"
    if isinstance(each, list):
        return "[" + ", ".join(map(_toml_value, each)) + "]"
    if isinstance(each, float):
        return repr(each)
    return '""' if each is None else json.dumps(each)


def csv_file(rng: Random, rows: Sequence[Sequence[str]]) -> bytes:
    """Return a table, header first, with cells, columns, lines, delimiter and quotes changed."""
    table = [list(row) for row in rows]
    for _ in range(rng.choice((0, 1, 1, 2, 4))):
        row = rng.choice(table)
        if row:
            row[rng.randrange(len(row))] = text(rng)
    kind = rng.randrange(16)
    if kind == 0:
        table.append([])
    elif kind == 1:
        rng.choice(table).append("more")
    elif kind == 2 and table[-1]:
        table[-1].pop()
    elif kind == 3:
        table = table[:1] if rng.random() < 0.5 else table[1:]
    elif kind == 4:
        table += table[1:] * 200
    elif kind == 5:
        table[-1] = ["q" * 200_000]
    elif kind == 6:
        table = [[*row, row[rng.randrange(len(row))] if row else ""] for row in table]
    elif kind == 7:
        table[0] = [name.upper() for name in table[0]]
    written = io.StringIO()
    one_column = any(len(row) == 1 for row in table)  # an empty one can only be written in quotes
    quoting: Any = rng.choice(
        (csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_ALL if one_column else csv.QUOTE_NONE)
    )
    end = rng.choice(("\n", "\n", "\r\n", "\r", "\n\n", "\u2028"))
    delimiter = rng.choice((",", ",", ",", ";", "\t", "|"))
    csv.writer(
        written, lineterminator=end, delimiter=delimiter, quoting=quoting, escapechar="\\"
    ).writerows(table)
    content = recoded(rng, written.getvalue())
    return changed_bytes(rng, content) if rng.random() < 0.3 else content


def recoded(rng: Random, written: str) -> bytes:
    """Return a text's bytes: as UTF-8 mostly, with a byte order mark, in another coding, or with broken bytes."""
    content = written.encode("utf-8", "surrogatepass")
    kind = rng.randrange(20)
    if kind == 0:
        return b"\xef\xbb\xbf" + content
    if kind == 1:
        return written.encode(rng.choice(("utf-16", "utf-32", "utf-16-be")), "surrogatepass")
    if kind == 2:
        return written.encode("latin-1", "replace") + b"\xe9\n"
    if kind == 3:
        return content.replace(b"\n", rng.choice((b"\r\n", b"\r")))
    if kind == 4:
        at = rng.randrange(len(content) + 1)
        return content[:at] + rng.choice(_BROKEN_BYTES) + content[at:]
    return content
