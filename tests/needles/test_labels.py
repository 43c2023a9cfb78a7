"""Labels as people write them: typing errors, commas, display names, a row a label; one rule for every layout."""

import csv
import json
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from niah.errors import NiahError
from niah.needles import NeedleSet, load_needles
from niah.vocabularies import Vocabulary, vocabulary

OWN = Vocabulary(
    "own",
    ("/c/guitar", "rain", "/c/bell", "/c/x1", "/c/x2", "Horn, car, loud"),
    ("Guitar, acoustic", "rain", "Door bell", "Twice", "Twice", "Horn, car, loud"),
)

Labels = Mapping[str, str]


def a_csv(folder: Path, labels: Labels, column: str = "labels") -> Path:
    rows = [f"{clip}.wav\t{text}\n" for clip, text in labels.items()]
    (folder / "t.tsv").write_text("".join([f"path\t{column}\n", *rows]))
    return folder / "t.tsv"


def a_label_column(folder: Path, labels: Labels) -> Path:
    return a_csv(folder, labels, "label")


def a_json(folder: Path, labels: Labels) -> Path:
    items = [{"wav": f"{clip}.wav", "labels": text} for clip, text in labels.items() if text]
    (folder / "t.json").write_text(json.dumps({"data": items}))
    return folder / "t.json"


def a_segment_list(folder: Path, labels: Labels) -> Path:
    for clip in labels:
        (folder / f"{clip}.wav").write_bytes(b"")
    rows = [f'{clip}, 0.000, 10.000, "{text}"\n' for clip, text in labels.items()]
    (folder / "t.csv").write_text("".join(rows))
    return folder / "t.csv"


def a_shard(folder: Path, labels: Labels) -> Path:
    columns: dict[str, Sequence[object]] = {
        "id": list(labels),
        "labels": list(labels.values()),
        "audio": [{"bytes": b"x"}] * len(labels),
    }
    pyarrow.parquet.write_table(pyarrow.table(dict(columns)), folder / "t.parquet")
    return folder / "t.parquet"


Layout = Callable[[Path, Labels], Path]
LAYOUTS: tuple[Layout, ...] = (a_csv, a_label_column, a_json, a_segment_list, a_shard)


def labels_of(needles: NeedleSet) -> dict[str, tuple[str, ...]]:
    return {needle.id: needle.labels for needle in needles.needles}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_typing_error_is_left_out_and_noted_in_every_layout(
    tmp_path: Path, layout: Layout
) -> None:
    file = layout(tmp_path, {"a": "rain", "b": "rain,rian", "c": "rian", "d": "rain"})
    needles = load_needles(str(file), vocabulary=OWN)
    assert labels_of(needles) == dict.fromkeys("abd", ("rain",))
    notes = " ".join(needles.notes)
    assert "labels that are not in 'own' left out: rian (2)" in notes
    assert "1 of 4 clips left out" in notes
    with pytest.raises(NiahError, match=r"'rian' is not in .*mean 'rain'\? \(refused under"):
        load_needles(str(file), vocabulary=OWN, strict=True)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("Guitar, acoustic", ("/c/guitar",)),
        ("Guitar, acoustic,rain", ("/c/guitar", "rain")),
        ("rain, Horn, car, loud ,Door bell", ("rain", "Horn, car, loud", "/c/bell")),
        ("Guitar, acoustic;rain", ("/c/guitar", "rain")),
        ("/c/x1;rain,/c/x2;rain", ("/c/x1", "rain", "/c/x2")),
    ],
)
def test_labels_with_commas_and_display_names(
    tmp_path: Path, layout: Layout, text: str, ids: tuple[str, ...]
) -> None:
    needles = load_needles(str(layout(tmp_path, {"a": text})), vocabulary=OWN)
    assert labels_of(needles) == {"a": ids}
    named = any(name in text for name in ("Guitar", "Door"))
    assert any("display names taken for their ids" in note for note in needles.notes) == named


def test_labels_with_any_sign_between_labels_or_with_quotes_are_whole(tmp_path: Path) -> None:
    """A semicolon in one of several labels parted it, and a quote at a label's end was taken off."""
    names = ("Dog, barking", 'He said "hi"', "Rain; heavy", "on|off")
    own = Vocabulary("own", tuple("abcd"), names)
    cells = ["Dog, barking;Rain; heavy", 'He said "hi"', 'on|off,He said "hi"', '"Rain; heavy"|a']
    with (tmp_path / "own.csv").open("w", newline="") as file:
        rows = [[f"{n}.wav", cell] for n, cell in enumerate(cells)]
        csv.writer(file).writerows([["path", "labels"], *rows])
    needles = load_needles(tmp_path / "own.csv", vocabulary=own)
    expected = {"0": ("a", "c"), "1": ("b",), "2": ("d", "b"), "3": ("c", "a")}
    assert labels_of(needles) == expected


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC"), ("NFD", "NFD")])
def test_accents_may_be_written_either_way(tmp_path: Path, forms: tuple[str, str]) -> None:
    """Labels of a folder on macOS are decomposed, those of an editor composed: they read alike."""
    composed, decomposed = (unicodedata.normalize(form, "Türklingel") for form in ("NFC", "NFD"))
    own, other = ({"NFC": composed, "NFD": decomposed}[form] for form in forms)
    file = tmp_path / "t.csv"
    file.write_text(f"path,labels\na.wav,{other};rain\n")
    for classes in (
        Vocabulary("own", (own, "rain"), (own, "rain")),
        Vocabulary("own", ("/c/1", "rain"), (own, "rain")),
    ):
        (needle,) = load_needles(file, vocabulary=classes).needles
        assert needle.labels == classes.ids


def test_a_display_name_of_two_classes_is_none(tmp_path: Path) -> None:
    with pytest.raises(NiahError, match="label 'Twice' is not in vocabulary 'own'"):
        load_needles(a_csv(tmp_path, {"a": "Twice"}), vocabulary=OWN)
    with pytest.raises(NiahError, match="Did you mean 'Horn, car, loud'"):
        OWN.index("Horn, car")


def test_quoted_labels_of_a_comma_table(tmp_path: Path) -> None:
    rows = ["path,labels", 'a.wav,"Guitar, acoustic"', 'b.wav,"""Guitar, acoustic"",rain"']
    (tmp_path / "t.csv").write_text("\n".join(rows))
    needles = load_needles(tmp_path / "t.csv", vocabulary=OWN)
    assert labels_of(needles) == {"a": ("/c/guitar",), "b": ("/c/guitar", "rain")}


@pytest.mark.parametrize("column", ["label", "labels"])
def test_a_row_a_label(tmp_path: Path, column: str) -> None:
    rows = [f"path,{column}", "a.wav,rain", "b.wav,Door bell", "a.wav,/c/x1", "a.wav,rian"]
    file = tmp_path / "t.csv"
    file.write_text("\n".join(rows))
    needles = load_needles(file, vocabulary=OWN)
    assert labels_of(needles) == {"a": ("rain", "/c/x1"), "b": ("/c/bell",)}
    assert "rows joined with another of the same clip: 2" in needles.notes
    assert not any("clips left out" in note for note in needles.notes)
    for same in ("a.wav", "./a.wav", "x/..//a.wav", str(tmp_path / "a.wav")):
        file.write_text("\n".join([*rows, f"{same},rain"]))
        with pytest.raises(NiahError, match=r"line 6: clip 'a.wav' is listed twice"):
            load_needles(file, vocabulary=OWN)
        file.write_text("\n".join([*rows, f"{same},/c/guitar"]))
        joined = labels_of(load_needles(file, vocabulary=OWN))
        assert joined == {"a": ("rain", "/c/x1", "/c/guitar"), "b": ("/c/bell",)}


@pytest.mark.parametrize("column", ["label", "labels"])
def test_an_empty_cell_is_left_out_in_both_columns(tmp_path: Path, column: str) -> None:
    file = a_csv(tmp_path, {"a": "rain", "b": ""}, column)
    needles = load_needles(file, vocabulary=OWN)
    assert labels_of(needles) == {"a": ("rain",)}
    assert "1 of 2 clips left out, which have no label in 'own'" in needles.notes
    with pytest.raises(NiahError, match="line 3: has no label"):
        load_needles(file, vocabulary=OWN, strict=True)


def test_own_labels_without_their_file_are_told_of_it(tmp_path: Path) -> None:
    file = a_csv(tmp_path, {"a": "my own sound"})
    with pytest.raises(
        NiahError, match=r"\. No clip is left\. For labels of your own, .*--labels FILE"
    ):
        load_needles(file, vocabulary=vocabulary("audioset-527"))
