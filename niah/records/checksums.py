"""Checksums within JSON files of a run: an edited or damaged one is noticed when it is read."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

_NAME = "sha256"


def with_checksum(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content with its checksum as the last entry."""
    return {**content, _NAME: _checksum(content)}


def is_intact(content: Mapping[str, Any]) -> bool:
    """Return whether content that was read is what was written; files of earlier versions have no checksum."""
    return _NAME not in content or content[_NAME] == _checksum(content)


def _checksum(content: Mapping[str, Any]) -> str:
    """SHA-256 of an object without its checksum, whatever its white space and order."""
    parts = {name: value for name, value in content.items() if name != _NAME}
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
