"""A model's labels as classes of a vocabulary: exact, guessed or not scored."""

import pytest

from niah.vocabularies import Vocabulary, vocabulary
from niah.vocabularies.mapping import map_labels, own_vocabulary
from niah.vocabularies.names import normalised

AUDIOSET = vocabulary("audioset-527")


def test_the_vocabularys_own_names_and_ids_are_all_exact_in_any_order() -> None:
    for labels in (AUDIOSET.names, AUDIOSET.ids, AUDIOSET.names[::-1]):
        mapping = map_labels(labels, AUDIOSET)
        assert mapping.classes is AUDIOSET
        assert (mapping.exact, dict(mapping.guessed), mapping.unmapped) == (527, {}, ())
        assert [labels[column] for column in mapping.columns] in (
            list(AUDIOSET.names),
            list(AUDIOSET.ids),
        )
        assert mapping.notes("m") == []


def test_names_written_as_fsd50k_does_are_guessed_and_said_so() -> None:
    labels = ["Meow", "Male_speech_and_man_speaking", "no such sound", "BARK"]
    mapping = map_labels(labels, AUDIOSET)
    assert mapping.classes.names == ("Male speech, man speaking", "Bark", "Meow")
    assert mapping.columns == (1, 3, 0)
    assert mapping.exact == 1
    assert mapping.guessed == {
        "Male_speech_and_man_speaking": "Male speech, man speaking",
        "BARK": "Bark",
    }
    assert mapping.unmapped == ("no such sound",)
    assert len(mapping.missing) == 524
    assert mapping.classes.name == "audioset-527, 3 of 527 classes"
    guessed, unmapped, missing = mapping.notes("m")
    assert (
        "labels taken exactly: 1; guessed by name (2): 'Male_speech_and_man_speaking' as" in guessed
    )
    assert "labels without a class, not scored (1): no such sound" in unmapped
    assert missing.startswith("model 'm': classes without a label, not scored (524): ")
    assert missing.endswith(" and 519 more")


def test_names_cut_at_the_comma_are_guessed_and_all_of_them_in_order_are_sure() -> None:
    cut = [name.partition(",")[0] for name in AUDIOSET.names]
    mapping = map_labels(cut, AUDIOSET)
    assert mapping.columns == tuple(range(527))
    assert mapping.notes("m") == []
    mapping = map_labels(cut[::-1], AUDIOSET)
    named = {
        id_: cut[::-1][column]
        for id_, column in zip(mapping.classes.ids, mapping.columns, strict=True)
    }
    assert all(
        AUDIOSET.names[AUDIOSET.ids.index(id_)].startswith(name) for id_, name in named.items()
    )
    assert mapping.unmapped == 2 * ("Outside",) + 3 * ("Inside",)
    assert mapping.guessed["Male speech"] == "Male speech, man speaking"


def test_an_exact_label_goes_before_a_guess_and_shared_names_are_nobodys() -> None:
    classes = Vocabulary("v", ("a", "b", "c"), ("Drum roll", "drum-roll", "Bell"))
    assert map_labels(["bell", "Bell", "c"], classes).columns == (1,)
    assert map_labels(["DRUM ROLL", "Drum roll"], classes).columns == (1,)
    assert map_labels(["drum_roll"], classes).columns == ()


@pytest.mark.parametrize(
    ("name", "other"),
    [("Rhythm & blues", "rhythm_and_blues"), ("Café", "cafe"), ("Hi-hat", "hi hat")],
)
def test_signs_case_and_accents_do_not_count(name: str, other: str) -> None:
    assert normalised(name) == normalised(other)


def test_labels_of_ones_own_are_numbered_where_they_repeat() -> None:
    assert own_vocabulary("m", ["a", "b", "a"]).ids == ("a (0)", "b", "a (2)")
