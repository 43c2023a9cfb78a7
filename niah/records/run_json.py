"""The door of run.json: what a run says of itself, and a stranger may have written, checked before it is read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from niah.errors import NiahError

DEEPEST = 32  # levels of lists and objects
_OBJECTS = ("identity", "models", "needles", "haystacks", "variants", "arguments", "hardware")
_OF_OBJECTS = ("models", "haystacks", "variants")
_LISTS = {"presets": str, "notes": str, "excluded_clips": dict}


def checked_run_json(content: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """Check the types of the keys that are read, and the depth of everything.

    Returns:
        The content, with half surrogates, which no file can be written with, spelt out ("\\udcff").

    Raises:
        NiahError: something is not as it must be; names the file and the key.
    """
    for name in _OBJECTS:
        _expect(content.get(name, {}), dict, name, file)
    for name in _OF_OBJECTS:
        for key, value in content.get(name, {}).items():
            _expect(value, dict, f"{name}.{key}", file)
    for name, kind in _LISTS.items():
        _expect(content.get(name, []), list, name, file)
        for value in content.get(name, []):
            _expect(value, kind, f"an entry of {name}", file)
    for clip in content.get("excluded_clips", []):
        for name in ("id", "reason"):
            _expect(clip.get(name), str, f"{name} of an entry of excluded_clips", file)
    for name, haystack in content.get("haystacks", {}).items():
        contains = haystack.get("contains", [])
        _expect(contains, list, f"haystacks.{name}.contains", file)
        for label in contains:
            _expect(label, str, f"a label of haystacks.{name}", file)
    cleaned: dict[str, Any] = _cleaned(dict(content), file, 0)
    return cleaned


def _expect(value: object, kind: type, name: str, file: Path) -> None:
    words: dict[type, str] = {dict: "an object", list: "a list", str: "text"}
    if not isinstance(value, kind):
        raise NiahError(f"{file}: '{name}' must be {words[kind]} but is {value!r:.60}")


def _cleaned(value: Any, file: Path, depth: int) -> Any:
    if depth > DEEPEST:
        raise NiahError(f"{file} is nested deeper than {DEEPEST} levels")
    if isinstance(value, dict):
        return {_text(name): _cleaned(each, file, depth + 1) for name, each in value.items()}
    if isinstance(value, list):
        return [_cleaned(each, file, depth + 1) for each in value]
    return _text(value) if isinstance(value, str) else value


def _text(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()
