"""`niah ARGUMENTS` in the process of a test: its exit status and what it prints; a quick run's arguments."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.helpers import tiny


@dataclass(frozen=True)
class Answer:
    """Exit status and output of a command."""

    status: int
    stdout: str
    stderr: str

    def refusal(self) -> str:
        """The one line of a command that refused, without `niah: `."""
        assert self.status == 2, self
        assert "Traceback" not in self.stderr
        lines = self.stderr.splitlines()
        assert len(lines) == 1, self.stderr
        assert lines[0].startswith("niah: ")
        return lines[0].removeprefix("niah: ")


Niah = Callable[..., Answer]


@dataclass(frozen=True)
class Material(tiny.Material):
    """The arguments of a quick run."""

    def run(self, out: Path, needles: Path | None = None) -> list[object]:
        return [
            *("run", "--model", self.card, "--checkpoint", self.weights),
            *("--needles", needles or self.clips, "--haystack", "zero", "--lengths", "10,12"),
            *("--device", "cpu", "--out", out),
        ]
