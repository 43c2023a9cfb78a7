"""Every table that people give, saved in every way that their programs save it, is read as the same table."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from niah.cards import find_model
from niah.errors import NiahError
from niah.haystacks import load_haystack
from niah.needles import load_needles
from niah.needles.readers.labels import LabelReader
from niah.needles.readers.rows import Request
from niah.system.text_files import read_json, read_text
from niah.system.text_tables import read_table
from niah.vocabularies import Vocabulary, vocabulary

ESC50 = vocabulary("esc-50")
AUDIOSET = vocabulary("audioset-527")
MIDS = "/m/09x0r"

Cells = list[list[str]]
TABLES: dict[str, tuple[str, Cells]] = {
    "paths": ("t.csv", [["path", "labels"], ["a.wav", MIDS], ["b.wav", MIDS]]),
    "manifest": (
        "t.csv",
        [["path", "audioset_mid", "also_true_mids", "match"]]
        + [[f"{name}.wav", MIDS, "", "exact"] for name in "ab"],
    ),
    "esc50": (
        "meta/esc50.csv",
        [["filename", "fold", "target", "category", "esc10"]]
        + [[f"{name}.wav", "1", "0", "dog", "True"] for name in "ab"],
    ),
    "fsd50k": (
        "FSD50K.ground_truth/eval.csv",
        [["fname", "labels", "mids"], ["a", "Speech", MIDS], ["b", "Speech", MIDS]],
    ),
    "segments": ("t.csv", [["a", "0.000", "10.000", MIDS], ["b", "30.000", "40.000", MIDS]]),
    "vocabulary": (
        "t.csv",
        [["index", "mid", "display_name"], ["0", "a", "Sound A"], ["1", "b", "Sound B"]],
    ),
}


def joined(cells: Cells, delimiter: str = ",", end: str = "\n", pattern: str = "{}") -> bytes:
    lines = [delimiter.join(pattern.format(cell) for cell in row) for row in cells]
    return end.join([*lines, ""]).encode()


SAVED: dict[str, Callable[[Cells], bytes]] = {
    "plain": joined,
    "byte order mark": lambda cells: b"\xef\xbb\xbf" + joined(cells),
    "CRLF": lambda cells: joined(cells, end="\r\n"),
    "CR": lambda cells: joined(cells, end="\r"),
    "semicolons": lambda cells: joined(cells, ";"),
    "tabs": lambda cells: joined(cells, "\t"),
    "bars": lambda cells: joined(cells, "|"),
    "for Excel": lambda cells: b"\xef\xbb\xbfsep=;\r\n" + joined(cells, ";", "\r\n"),
    "blanks": lambda cells: joined(cells, pattern=" {} "),
    "quotes": lambda cells: joined(cells, pattern='"{}"'),
    "quotes and blanks": lambda cells: joined(cells, ", ", pattern='"{}" '),
    "comments": lambda cells: b"# made by us, in 2026; at home\n\n#second\n" + joined(cells),
    "empty lines": lambda cells: joined(cells) + b"\n  \n",
    "all at once": lambda cells: b"\xef\xbb\xbf" + joined(cells, ";", "\r\n", '"{}" '),
}


def ids_of(kind: str, file: Path) -> list[str]:
    if kind == "vocabulary":
        return list(vocabulary(file).ids)
    loaded = load_needles(file, vocabulary=ESC50 if kind == "esc50" else AUDIOSET)
    semicolons_or_tabs = any("is read with" in note for note in loaded.notes)
    assert semicolons_or_tabs == (kind != "segments" and b"," not in file.read_bytes())
    return sorted(needle.id for needle in loaded.needles)


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("saved", SAVED)
def test_every_reader_takes_every_table(tmp_path: Path, kind: str, saved: str) -> None:
    name, cells = TABLES[kind]
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(SAVED[saved](cells))
    for clip in "ab":
        soundfile.write(tmp_path / f"{clip}.wav", [0.1] * 16, 16000)
    assert ids_of(kind, file) == ["a", "b"]


BROKEN = {
    "UTF-32": ("path,labels\na.wav,x\n".encode("utf-32"), "is not UTF-8 text but UTF-32"),
    "UTF-16-LE": (
        "path,labels\na.wav,x\n".encode("utf-16-le"),
        r"UTF-16, perhaps\): save it as UTF-8",
    ),
    "UTF-16": ("path,labels\na.wav,x\n".encode("utf-16"), "is not UTF-8 text but UTF-16"),
    "Latin-1": (b"path,labels\na.wav,\xe9\n", "line 2: is not UTF-8 text"),
    "NUL": (b"path,labels\na.wav,\0\n", "holds NUL bytes"),
    "large field": (b"path,labels\na.wav,x\nb.wav," + b"x" * 200_000, "line 3: is not CSV"),
    "large header": (b"path,labels," + b"x" * 200_000 + b"\na.wav,x,y\n", "is not CSV"),
    "open quote": (b'path,labels\na.wav,"x\n' + b"b.wav,y\n" * 30_000, "is not CSV"),
    "two columns": (b"path,labels,labels\na.wav,x,y\n", "two columns 'labels'"),
    "long row": (b"path,labels\na.wav,x,y\n", "line 2: has 3 cells"),
    "blanks": (b" \n\n", "is empty"),
    "a quote": (b'" ', "has no header|is not CSV"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_no_table_is_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    content, reason = BROKEN[kind]
    for read in (read_table, lambda path: load_needles(path, vocabulary=AUDIOSET), vocabulary):
        (tmp_path / "t.csv").write_bytes(content)
        with pytest.raises(NiahError, match=reason) as error:
            read(tmp_path / "t.csv")
        assert "\n" not in str(error.value)


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, Path("/dev/zero")):
        with pytest.raises(NiahError, match="is not a regular file"):
            read_text(path)
    with pytest.raises(NiahError, match="is no file name"):
        read_text(tmp_path / "a\0b")
    for name in (
        "card.toml",
        "clips.parquet",
        "clips.arrow",
        "clips.tar",
        "clips.csv",
        "clips.json",
    ):  # a pipe would be waited for
        os.mkfifo(tmp_path / name)
    for find in (find_model, load_haystack):
        with pytest.raises(NiahError, match="is a device or a pipe"):
            find(tmp_path / "card.toml")
    for name in ("clips.parquet", "clips.arrow", "clips.tar", "clips.csv", "clips.json"):
        with pytest.raises(NiahError, match="is not a regular file"):
            load_needles(tmp_path / name, vocabulary=AUDIOSET)


@pytest.mark.parametrize("time", ["inf", "nan", "-1", "1e999", "1e308", "9" * 5000])
def test_times_that_are_no_seconds_are_refused_with_their_line(tmp_path: Path, time: str) -> None:
    soundfile.write(tmp_path / "a.wav", [0.1] * 16, 16000)
    (tmp_path / "t.csv").write_text(f"a,0,10,{MIDS}\nb,0,{time},{MIDS}\n")
    with pytest.raises(NiahError, match="line 2: the times must be finite"):
        load_needles(tmp_path / "t.csv", vocabulary=AUDIOSET)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("[" * 100_000, "nested too deeply"),
        ("9" * 5000, "number that is too long"),
        ('{"a": "\\ud800"}', "half of a surrogate pair"),
        ("{", "line 1: is not JSON"),
    ],
)
def test_json_is_refused_in_one_line(tmp_path: Path, content: str, reason: str) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(NiahError, match=reason):
        read_json(tmp_path / "x.json")
    (tmp_path / "x.json").write_text(json.dumps({"a": "\U0001f600"}))
    assert read_json(tmp_path / "x.json") == {"a": "\U0001f600"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.txt", "Guitar, acoustic\n\nrain\n"),
        ("x.csv", 'index,display_name\n0,"Guitar, acoustic"\n1,rain\n'),
        ("x.csv", 'label\n"Guitar, acoustic"\nrain\n'),
        ("x.tsv", "name\tindex\nGuitar, acoustic\t0\nrain\t1\n"),
    ],
)
def test_a_vocabulary_needs_no_more_than_its_labels(
    tmp_path: Path, name: str, content: str
) -> None:
    (tmp_path / name).write_text(content)
    labels = vocabulary(str(tmp_path / name))
    assert labels.ids == labels.names == ("Guitar, acoustic", "rain")


@pytest.mark.parametrize(
    "text",
    ["dog|cat", "['dog', 'cat']", '["dog", "cat"]', "['dog' 'cat']", "[dog, cat]", "dog | cat;dog"],
)
def test_lists_of_labels_are_read_as_other_tools_write_them(text: str, tmp_path: Path) -> None:
    file, quoted = tmp_path / "list.csv", '"' + text.replace('"', '""') + '"'
    file.write_text(f"path,labels\na.wav,{quoted}\n")
    loaded = load_needles(file, vocabulary=ESC50)
    assert loaded.needles[0].labels == ("dog", "cat")
    assert not loaded.notes


@pytest.mark.parametrize("depth", [3, 2_000, 100_000])
def test_a_list_in_lists_is_read_however_deep(depth: int) -> None:
    labels = LabelReader(Request(Vocabulary("own", ("dog", "cat"), ("dog", "cat"))))
    assert labels.split(f"{depth * '['}'dog', 'cat'{depth * ']'}") == ["dog", "cat"]
    assert not any(labels.split(depth * "[" + depth * "]"))


def test_a_listed_label_with_commas_stays_whole(tmp_path: Path) -> None:
    classes = tmp_path / "classes.txt"
    classes.write_text("Male speech, man speaking\nChild's | voice\n[x]\n")
    file = tmp_path / "list.csv"
    rows = """a.wav,"['Male speech, man speaking', ""Child's | voice""]"\nb.wav,[x]\nc.wav,[]\n"""
    file.write_text(f"path,labels\n{rows}")
    loaded = load_needles(file, vocabulary=vocabulary(classes))
    labels = {needle.id: needle.labels for needle in loaded.needles}
    assert labels == {"a": ("Male speech, man speaking", "Child's | voice"), "b": ("[x]",)}


@pytest.mark.parametrize("text", ["dog\ncat", "dog/cat"])
def test_labels_joined_otherwise_get_a_hint(text: str, tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_text(f'path,labels\na.wav,"{text}"\nb.wav,dog\n')
    notes = load_needles(file, vocabulary=ESC50).notes
    assert any("between labels stands ; or ," in note for note in notes)
    file.write_text(f'path,labels\na.wav,"{text}"\n')
    with pytest.raises(NiahError, match=r"between labels stands ; or ,.*No clip is left"):
        load_needles(file, vocabulary=ESC50)


@pytest.mark.parametrize("column", ["target", "id", ""])
@pytest.mark.parametrize("first", [0, 1])
def test_a_vocabulary_in_another_order_than_its_numbers_is_refused(
    tmp_path: Path, column: str, first: int
) -> None:
    """Rows are the network's outputs: of a table that was sorted by name, each would be another class."""
    file = tmp_path / "classes.csv"
    rows = [("dog", 0), ("cat", 2), ("hen", 1)]
    file.write_text(f"label,{column}\n" + "".join(f"{name},{n + first}\n" for name, n in rows))
    with pytest.raises(
        NiahError, match=f"column '{column}' reads like numbers of the classes, in another order"
    ):
        vocabulary(file)
    rows.sort(key=lambda row: row[1])
    file.write_text(f"label,{column}\n" + "".join(f"{name},{n + first}\n" for name, n in rows))
    assert vocabulary(file).ids == ("dog", "hen", "cat")
