"""`hf:OWNER/NAME[@REVISION][:CONFIG][/SPLIT][?audio=COLUMN&labels=COLUMN&column=value]`, taken apart."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from niah.errors import NiahError
from niah.needles.readers.rows import described
from niah.system import plain_names

PREFIX = "hf:"
SYNTAX = "hf:OWNER/NAME[@REVISION][:CONFIG][/SPLIT][?audio=COLUMN&labels=COLUMN]"
_WHOLE = re.compile(r"hf:(?P<repository>[^/@:?]+/[^/@:?]+)(?P<parts>[^?]*)(?:\?(?P<query>.+))?")
_PART = re.compile(
    r"@(?P<revision>refs/[^@:/]+/[^@:/]+|[^@:/]+)|:(?P<config>[^@:/]+)|/(?P<split>[^@:/]+)"
)
SHORT_COMMIT = 7  # digits of a commit in a set's name


@dataclass(frozen=True)
class HubSpec:
    """A data set of the hub; "" stands for its default."""

    repository: str
    revision: str = ""
    config: str = ""
    split: str = ""
    audio: str = ""  # column of the sounds
    labels: str = ""  # column of the labels
    filters: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        config = f":{self.config}" if self.config else ""
        split = f"/{self.split}" if self.split else ""
        columns = {"audio": self.audio, "labels": self.labels}
        chosen = {name: frozenset((value,)) for name, value in columns.items() if value}
        query = described({**chosen, **self.filters})
        return f"{PREFIX}{self.repository}{revision}{config}{split}{query}"

    def short(self) -> str:
        """Return the spec with the first digits of its commit."""
        return str(replace(self, revision=self.revision[:SHORT_COMMIT]))


def parse(text: str) -> HubSpec:
    """Take a spec apart; the parts after the repository may stand in any order.

    Raises:
        NiahError: it reads otherwise, or a name in it is not safe to use.
    """
    whole = _WHOLE.fullmatch(text)
    parts: dict[str, str] = {}
    rest = whole["parts"] if whole else ""
    while match := _PART.match(rest):
        name = str(match.lastgroup)
        if name in parts:
            raise NiahError(f"needles '{text}': names its {name} twice; it must read {SYNTAX}")
        parts[name], rest = match[name], rest[match.end() :]
    if whole is None or rest:
        raise NiahError(f"needles '{text}': must read {SYNTAX}")
    repository = plain_names.hub(whole["repository"], f"needles '{text}': the repository")
    plain_names.revision(parts.get("revision", ""), f"needles '{text}': the revision")
    columns: dict[str, str] = {}
    filters: dict[str, frozenset[str]] = {}
    for part in (whole["query"] or "").split("&") if whole["query"] else ():
        column, equals, value = part.partition("=")
        if not (column and equals and value):
            raise NiahError(f"needles '{text}': '?{part}' must read ?column=value,value")
        if column in ("audio", "labels"):
            columns[column] = value
        elif column == "split":
            parts.setdefault("split", value)
        else:
            filters[column] = frozenset(each.strip().casefold() for each in value.split(","))
    return HubSpec(repository, **parts, **columns, filters=filters)
