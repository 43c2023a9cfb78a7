"""Labels of a table: split, looked up in the vocabulary, and noted where it lacks them.

One rule for every layout: a label that the vocabulary lacks is left out and noted, a clip without any label left is
left out and noted, and under `strict` either is refused with its line.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Sized
from contextlib import suppress

from niah.errors import NiahError
from niah.needles.readers.rows import Request, counted
from niah.vocabularies.names import alike_names, normalised

_SIGNS = re.compile(r"([;|,])")  # between labels
_MOST_PIECES = 15  # of one label: eight parts
_LIST = re.compile(r"\s*\[.*\]\s*", re.DOTALL)
_QUOTED = re.compile(r"""'([^']*)'|"([^"]*)\"""")  # labels of such a list
_OTHERS = re.compile(r"[/\n\t]+")  # between labels, of tools that join them otherwise
_OWN = (
    "For labels of your own, name their file: --labels FILE here, or 'labels' on the model's card"
)


class LabelReader:
    """The labels of one table's clips; collects notes on labels that were changed or left out."""

    def __init__(self, request: Request) -> None:
        self.vocabulary = request.vocabulary
        self._strict = request.strict
        self._alike = alike_names(request.vocabulary) if request.alike else {}
        self._guessed: Counter[str] = Counter()
        self._unknown: Counter[str] = Counter()
        self._names: Counter[str] = Counter()
        self._first_problem = ""

    def split(self, text: str) -> list[str]:
        """Split labels that semicolons, bars or commas part, or a list as JSON, Python and numpy write it.

        A label of the vocabulary with such signs in it stays whole.
        """
        if self._is_known(text):
            return [self._bare(text)]
        if _LIST.fullmatch(text):
            return [label for part in _listed(text) for label in self.split(part)]
        labels, pieces = [], _SIGNS.split(text)  # parts and the signs between them
        while pieces:
            sizes = range(min(len(pieces), _MOST_PIECES), 1, -2)
            size = next((n for n in sizes if self._is_known("".join(pieces[:n]))), 1)
            labels.append(self._bare("".join(pieces[:size])))
            del pieces[: size + 1]
        return [label for label in labels if label]

    def ids(self, labels: list[str], where: str, clips: int = 1) -> tuple[str, ...]:
        """Return the ids of a clip's labels, each once; () if the clip is to be left out.

        Args:
            labels: ids, or display names that only one class has.
            where: the clip's place, for messages.
            clips: number of clips with these labels, for the notes.

        Raises:
            NiahError: under `strict`, an unknown label, or none.
        """
        ids: dict[str, None] = {}
        for label in labels:
            id_ = self.vocabulary.id_of(label)
            if id_ is None and self._alike and (id_ := self._alike.get(normalised(label))):
                self._guessed[label] += clips
            elif id_ is None:
                self._problem(f"{where}: {self.vocabulary.problem(label)}")
                self._unknown[label] += clips
                continue
            elif id_ != label:
                self._names[label] += clips
            ids[sys.intern(id_)] = None  # one text for all clips
        if not ids:
            self._problem(f"{where}: has no label")
        return tuple(ids)

    def notes(self, n_clips: int, n_left: int) -> tuple[str, ...]:
        """Return a sentence on each kind of change.

        Args:
            n_clips: clips of the table.
            n_left: clips with a label.
        """
        name = self.vocabulary.name
        notes = []
        if self._names:
            notes.append(f"display names taken for their ids: {counted(self._names.elements())}")
        if self._guessed:
            guessed = counted(self._guessed.elements())
            notes.append(f"names taken for classes that are called alike: {guessed}")
        if self._unknown:
            unknown = counted(self._unknown.elements())
            notes.append(f"labels that are not in '{name}' left out: {unknown}{self._separators()}")
        if n_left < n_clips:
            notes.append(
                f"{n_clips - n_left} of {n_clips} clips left out, which have no label in '{name}'"
            )
        return tuple(notes)

    def check_any(self, entries: Sized) -> None:
        """Check that there is a clip left.

        Raises:
            NiahError: no clip is left; the message has the first problem.
        """
        if not len(entries):
            end = "" if self._first_problem.endswith((".", "?")) else "."
            own = f" {_OWN}" if self._unknown else ""
            end = f"{self._separators()}{end}"
            raise NiahError(f"{self._first_problem}{end} No clip is left.{own}")

    def _separators(self) -> str:
        """Return a hint where an unknown label is several known ones, in the form of another tool; else ""."""
        for label in self._unknown:
            if any(part and self._is_known(part) for part in _OTHERS.split(label)):
                return " (between labels stands ; or ,)"
        return ""

    def _is_known(self, text: str) -> bool:
        bare = self._bare(text)
        if self.vocabulary.id_of(bare) is not None:
            return True
        return bool(self._alike) and normalised(bare) in self._alike

    def _bare(self, text: str) -> str:
        """Return a label without blanks around it, and without quotes that are not its own."""
        text = text.strip()
        return text if self.vocabulary.id_of(text) is not None else text.strip('"').strip()

    def _problem(self, message: str) -> None:
        if self._strict:
            raise NiahError(f"{message} (refused under --strict)")
        self._first_problem = self._first_problem or message


def _listed(text: str) -> list[str]:
    """Return the labels of a flat list of JSON; of another what stands in quotes, or else all between the brackets."""
    with suppress(ValueError, RecursionError):
        listed = json.loads(text)
        if not any(isinstance(label, list) for label in listed):
            return [str(label) for label in listed]
    quoted = [one or other for one, other in _QUOTED.findall(text)]
    return quoted or [text.strip("[] \t\r\n")]  # all brackets at once: a list in lists may be deep
