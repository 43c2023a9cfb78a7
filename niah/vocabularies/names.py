"""Names of classes that are written in other ways: `Male_speech_and_man_speaking` is "Male speech, man speaking".

Some models' authors cut names at their first comma (mispeech/ced-*). AudioSet's 527 names are 524 then: three are of
several classes, which only their place in the vocabulary's order tells apart.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence

from niah.vocabularies import Vocabulary

_WORD = re.compile(r"[^\W_]+")


def normalised(name: str) -> str:
    """Return a name without case, accents, signs, spaces and the word "and"."""
    text = unicodedata.normalize("NFKD", name.replace("&", " and ")).casefold()
    text = "".join(letter for letter in text if not unicodedata.combining(letter))
    return "".join(word for word in _WORD.findall(text) if word != "and")


def alike_names(vocabulary: Vocabulary) -> Mapping[str, str]:
    """Return {normalised display name: id}, without names that several classes share."""
    return _ids_by_name(vocabulary, vocabulary.names)


def cut_names(vocabulary: Vocabulary) -> Mapping[str, str]:
    """Return {normalised display name up to its first comma: id}, without names that several classes share."""
    return _ids_by_name(vocabulary, _cut(vocabulary))


def are_all_cut(labels: Sequence[str], vocabulary: Vocabulary) -> bool:
    """Return whether labels are the vocabulary's names in its order, each cut at its first comma."""
    return [label.strip().casefold() for label in labels] == [
        name.casefold() for name in _cut(vocabulary)
    ]


def _cut(vocabulary: Vocabulary) -> list[str]:
    return [name.partition(",")[0] for name in vocabulary.names]


def _ids_by_name(vocabulary: Vocabulary, written: Sequence[str]) -> Mapping[str, str]:
    names = list(map(normalised, written))
    counts = Counter(names)
    return {
        name: id_
        for name, id_ in zip(names, vocabulary.ids, strict=True)
        if name and counts[name] == 1
    }
