"""A model's own labels as classes of a vocabulary: by id, by display name, by a name written in another way, or cut."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from niah.vocabularies import Vocabulary
from niah.vocabularies.names import alike_names, are_all_cut, cut_names, normalised

_SHOWN = 5  # labels that a sentence lists


@dataclass(frozen=True)
class LabelMapping:
    """Which of a model's outputs score which classes.

    Attributes:
        classes: those that a label was found for, in the vocabulary's order; the vocabulary itself if it is all.
        columns: the model's output of each of them.
        guessed: label -> display name, of labels whose name is only alike (case, signs, "and") or is cut at a comma.
        unmapped: labels without a class; their outputs are not scored.
        missing: display names of the vocabulary's classes that no label is of.
    """

    classes: Vocabulary
    columns: tuple[int, ...]
    guessed: Mapping[str, str]
    unmapped: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def exact(self) -> int:
        """Number of labels with the class's own id or name."""
        return len(self.columns) - len(self.guessed)

    def notes(self, model: str) -> list[str]:
        """Return a sentence on guessed labels, and one on classes and labels that are not scored.

        Args:
            model: its name.
        """
        notes = []
        if self.guessed:
            pairs = [f"'{label}' as '{name}'" for label, name in self.guessed.items()]
            notes.append(
                f"model '{model}': labels taken exactly: {self.exact}; guessed by name ({len(pairs)}): {_listed(pairs)}"
            )
        if self.unmapped:
            notes.append(
                f"model '{model}': labels without a class, not scored ({len(self.unmapped)}): {_listed(self.unmapped)}"
            )
        if self.missing:
            notes.append(
                f"model '{model}': classes without a label, not scored ({len(self.missing)}): {_listed(self.missing)}"
            )
        return notes

    def record(self) -> dict[str, object]:
        """Return the mapping for run.json."""
        return {
            "exact": self.exact,
            "guessed": dict(self.guessed),
            "unmapped": list(self.unmapped),
            "missing": list(self.missing),
        }


def map_labels(labels: Sequence[str], vocabulary: Vocabulary) -> LabelMapping:
    """Map a model's labels to a vocabulary's classes.

    A label is a class's id, its display name, or a name that is the same without case, signs and the word "and"
    (FSD50K's `Male_speech_and_man_speaking` is AudioSet's "Male speech, man speaking"), or that name up to its first
    comma ("Male speech"). A name that two classes share is none's, except where all labels are the vocabulary's names
    in its order, each cut so. Where two labels are of one class, the exact one takes it, then the first.

    Args:
        labels: of the model's outputs, in their order.
        vocabulary: the classes.
    """
    display = dict(zip(vocabulary.ids, vocabulary.names, strict=True))
    columns: dict[str, int] = {}
    guessed: dict[str, str] = {}
    if are_all_cut(labels, vocabulary):
        columns = {id_: column for column, id_ in enumerate(vocabulary.ids)}
    for column, label in enumerate(labels):
        id_ = vocabulary.id_of(label.strip())
        if id_ is not None:
            columns.setdefault(id_, column)
    for names in (alike_names(vocabulary), cut_names(vocabulary)):
        for column, label in enumerate(labels):
            id_ = None if column in columns.values() else names.get(normalised(label))
            if id_ is not None and id_ not in columns:
                columns[id_] = column
                guessed[label] = display[id_]
    scored = tuple(id_ for id_ in vocabulary.ids if id_ in columns)
    mapped = set(columns.values())
    return LabelMapping(
        part_of(vocabulary, columns),
        tuple(columns[id_] for id_ in scored),
        guessed,
        tuple(label for column, label in enumerate(labels) if column not in mapped),
        tuple(name for id_, name in display.items() if id_ not in columns),
    )


def own_vocabulary(name: str, labels: Sequence[str]) -> Vocabulary:
    """Return a model's labels as a vocabulary of their own; a repeated one is numbered.

    Args:
        name: of the vocabulary.
        labels: of the model's outputs, in their order.
    """
    repeated = {label for label, count in Counter(labels).items() if count > 1}
    ids = tuple(
        f"{label} ({column})" if label in repeated else label for column, label in enumerate(labels)
    )
    return Vocabulary(name, ids, tuple(labels))


def part_of(vocabulary: Vocabulary, ids: Collection[str]) -> Vocabulary:
    """Return the classes of a vocabulary that are in `ids`, in its order; the vocabulary itself if it is all."""
    pairs = zip(vocabulary.ids, vocabulary.names, strict=True)
    part = {id_: name for id_, name in pairs if id_ in ids}
    if len(part) == len(vocabulary):
        return vocabulary
    name = f"{vocabulary.name}, {len(part)} of {len(vocabulary)} classes"
    return Vocabulary(name, tuple(part), tuple(part.values()))


def _listed(values: Sequence[str]) -> str:
    more = f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else ""
    return ", ".join(values[:_SHOWN]) + more
