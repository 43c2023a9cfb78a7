"""Label vocabularies: what ships is what the sources say, and a wrong name is told with a guess."""

import csv
from pathlib import Path

import pytest

from niah.errors import NiahError
from niah.needles.synthetic import CLASSES
from niah.vocabularies import NAMES, esc50_to_audioset, vocabulary


@pytest.mark.parametrize(
    ("name", "classes", "first"),
    [
        ("audioset-527", 527, "/m/09x0r"),
        ("yamnet-521", 521, "/m/09x0r"),
        ("esc-50", 50, "dog"),
        ("esc-10", 10, "dog"),
        ("synthetic", 25, "syn/tone"),
    ],
)
def test_shipped(name: str, classes: int, first: str) -> None:
    labels = vocabulary(name)
    assert name in NAMES
    assert labels.name == name
    assert len(labels) == len(labels.names) == len(set(labels.ids)) == classes
    assert labels.ids[0] == first
    assert [labels.index(id_) for id_ in labels.ids] == list(range(classes))


def test_targets_are_true_exactly_where_labelled() -> None:
    labels = vocabulary("esc-10")
    found = labels.targets([("dog",), ("rain", "chainsaw"), ()])
    assert found.dtype == bool
    assert found.shape == (3, 10)
    assert [row.nonzero()[0].tolist() for row in found] == [[0], [2, 9], []]
    assert labels.targets([]).shape == (0, 10)


def test_yamnet_scores_all_of_audioset_but_six() -> None:
    audioset, yamnet = vocabulary("audioset-527"), vocabulary("yamnet-521")
    assert yamnet.ids == tuple(id_ for id_ in audioset.ids if id_ in yamnet)
    assert set(zip(yamnet.ids, yamnet.names, strict=True)) < set(
        zip(audioset.ids, audioset.names, strict=True)
    )
    absent = [
        name for id_, name in zip(audioset.ids, audioset.names, strict=True) if id_ not in yamnet
    ]
    assert len(absent) == 6
    assert "Battle cry" in absent


def test_esc10_is_a_part_of_esc50() -> None:
    ten, fifty = vocabulary("esc-10"), vocabulary("esc-50")
    assert [fifty.index(id_) for id_ in ten.ids] == [0, 1, 10, 11, 12, 20, 21, 38, 40, 41]


def test_esc50_map_names_audioset_labels() -> None:
    audioset, known = vocabulary("audioset-527"), esc50_to_audioset()
    assert tuple(known) == vocabulary("esc-50").ids
    counts = [sum(m.match == kind for m in known.values()) for kind in ("exact", "broader", "none")]
    assert counts == [43, 5, 2]
    for match in known.values():
        assert all(mid in audioset for mid in match.labels(broader=True))
    assert known["dog"].labels()[0] == "/m/0bt9lr"
    assert known["hen"].labels() == ()
    assert known["hen"].labels(broader=True)[0] == "/m/09b5t"
    assert known["can_opening"].labels(broader=True) == ()


def test_own_csv_may_have_commas_blanks_and_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text('\ufeffindex,mid,display_name\n0,/m/a,"A, loud"\n1,/m/b,B\n', encoding="utf-8")
    labels = vocabulary(file)
    assert (labels.name, labels.ids) == ("mine", ("/m/a", "/m/b"))
    assert labels.names == ("A, loud", "B")
    assert vocabulary(str(file)) == labels


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "is empty"),
        ("class,number\n", "first line must be"),
        ("mid,name\n", "no classes"),
        ("index,mid,display_name\n", "no classes"),
        ("index,mid,display_name\n0,a,A\n2,b,B\n", "line 3"),
        ("index,mid,display_name\n0,a\n", "line 2"),
        ("index,mid,display_name\n0,a,A\n1,a,B\n", "line 3 repeats"),
    ],
)
def test_malformed_csv_is_told_with_its_line(tmp_path: Path, content: str, told: str) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(content)
    with pytest.raises(NiahError, match=told):
        vocabulary(file)


def test_wrong_names_are_told_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(NiahError, match="Did you mean 'audioset-527'"):
        vocabulary("audioset527")
    with pytest.raises(NiahError, match="No such file"):
        vocabulary(tmp_path / "none.csv")
    with pytest.raises(NiahError, match="Did you mean 'rooster'"):
        vocabulary("esc-10").index("roster")
    with pytest.raises(NiahError, match="display name of '/m/0bt9lr'"):
        vocabulary("audioset-527").index("Dog")


def test_shipped_labels_are_those_of_the_sources(shared: Path) -> None:
    with (shared / "data" / "audioset_labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    labels = vocabulary("audioset-527")
    assert labels.ids == tuple(row["mid"] for row in rows)
    assert labels.names == tuple(row["display_name"] for row in rows)
    with (shared / "data" / "esc50" / "class_map.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            match = esc50_to_audioset()[row["esc50_category"]]
            assert (match.match, match.mid) == (row["match"], row["audioset_mid"])
            assert ";".join(match.also_true) == row["also_true_mids"]


def test_the_synthetic_vocabulary_names_the_classes_that_are_made() -> None:
    shipped = vocabulary("synthetic")
    assert shipped.ids == tuple(each.id for each in CLASSES)
    assert shipped.names == tuple(each.name for each in CLASSES)


@pytest.mark.parametrize("kind", [str, Path])
def test_labels_in_json_are_refused_as_that(tmp_path: Path, kind: type) -> None:
    """A first line `index,mid,display_name` was demanded of them, or the file called an unknown vocabulary."""
    (tmp_path / "labels.json").write_text('["Speech", "Dog"]')
    with pytest.raises(
        NiahError, match=r"labels are not read from JSON: write a CSV with the header index"
    ):
        vocabulary(kind(tmp_path / "labels.json"))
