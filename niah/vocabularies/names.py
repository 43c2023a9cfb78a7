"""Names of classes that are written in other ways: `Male_speech_and_man_speaking` is "Male speech, man speaking"."""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping

from niah.vocabularies import Vocabulary

_WORD = re.compile(r"[^\W_]+")


def normalised(name: str) -> str:
    """Return a name without case, accents, signs, spaces and the word "and"."""
    text = unicodedata.normalize("NFKD", name.replace("&", " and ")).casefold()
    text = "".join(letter for letter in text if not unicodedata.combining(letter))
    return "".join(word for word in _WORD.findall(text) if word != "and")


def alike_names(vocabulary: Vocabulary) -> Mapping[str, str]:
    """Return {normalised display name: id}, without names that several classes share."""
    names = list(map(normalised, vocabulary.names))
    counts = Counter(names)
    return {
        name: id_
        for name, id_ in zip(names, vocabulary.ids, strict=True)
        if name and counts[name] == 1
    }
