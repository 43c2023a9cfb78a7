"""Tables of paths and labels, with manifest columns and filters."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pytest

from niah.errors import NiahError
from niah.needles import load_needles
from niah.needles.needle import FileSource
from tests.helpers.clip_files import AUDIOSET, ESC10, ESC50, by_id, groups


def test_csv_of_paths_and_labels(tmp_path: Path) -> None:
    file = tmp_path / "eval.csv"
    file.write_text('path,labels\na.wav,"/m/09x0r,/m/0jbk"\nb/c.wav,/m/04rlf;/m/09x0r\n')
    needles = by_id(load_needles(file, vocabulary=AUDIOSET))
    assert needles["a"].labels == ("/m/09x0r", "/m/0jbk")
    assert needles["c"].labels == ("/m/04rlf", "/m/09x0r")
    assert needles["c"].source == FileSource(tmp_path / "b" / "c.wav")
    moved = by_id(load_needles(file, vocabulary=AUDIOSET, audio_root=Path("elsewhere")))
    assert moved["c"].source == FileSource(Path("elsewhere/b/c.wav"))


def test_what_begins_with_a_hash_is_a_comment_before_the_header_alone(tmp_path: Path) -> None:
    """Such a table was taken for AudioSet's list, and its header for a broken line of it."""
    file = tmp_path / "eval.csv"
    file.write_text("# two clips\npath,labels\n#1.wav,/m/09x0r\n# 2.wav,/m/04rlf\n")
    assert set(by_id(load_needles(file, vocabulary=AUDIOSET))) == {"#1", "# 2"}
    file.write_text("#,path,labels\n1,a.wav,/m/09x0r\n")
    assert set(by_id(load_needles(file, vocabulary=AUDIOSET))) == {"a"}
    file.write_text("# events\npath,onset,offset,label\na.wav,0,oops,/m/04rlf\n")
    with pytest.raises(NiahError, match="line 3: 'oops' is no time"):
        load_needles(file, vocabulary=AUDIOSET)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("path,labels\n", "has a header but no rows"),
        ("file,labels\na.wav,/m/09x0r\n", "lacks the column 'path'"),
        ("path,what\na.wav,/m/09x0r\n", "lacks a column 'labels'"),
        ("path,labels\na.wav\n", "line 2: has 1 cells"),
        ("path,labels\na.wav,\n", "line 2: has no label"),
        ("path,labels\n,/m/09x0r\n", "line 2: has no path"),
        (
            "path,labels\na.wav,/m/yyy\nb.wav,/m/zzz\n",
            "line 2: label '/m/yyy' is not in .*--labels",
        ),
        ("path,labels\na.wav,Dgo\n", "line 2: label 'Dgo' is not in .*Did you mean 'Dog'"),
        ("path,labels\na.wav,/m/09x0r\na.wav,/m/09x0r\n", "'a.wav' is listed twice"),
        (
            "path,start_s,stop_s,label\na.wav,1,2,Dog\na.wav,7,8,Cat\n",
            "line 3: 'a.wav' is listed with several values of 'start_s': .* 'onset' and 'offset'",
        ),
        ("path,label,audioset_mid,match\na.wav,x,/m/09x0r,so-so\n", "line 2: match must be"),
    ],
)
def test_malformed_csv(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(content)
    with pytest.raises(NiahError, match=message):
        load_needles(file, vocabulary=AUDIOSET)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".arrow"])
def test_times_that_are_not_read_are_noted(tmp_path: Path, suffix: str) -> None:
    """Events of a recording under names of their own were whole files, without a word."""
    file = tmp_path / f"clips{suffix}"
    cells = {"path": ["a.wav", "b.wav"], "Begin Time (s)": ["1", "7"], "label": ["Dog", "Cat"]}
    table = pa.table({**cells, "recording_start": ["2 am", "3 am"]})
    if suffix == ".arrow":
        with pa.OSFile(str(file), "wb") as stream, pa.ipc.new_file(stream, table.schema) as writer:
            writer.write_table(table)
    elif suffix == ".csv":
        pyarrow.csv.write_csv(table, file)
    else:
        file.write_text("\n".join(map(json.dumps, table.to_pylist())))
    (note,) = (n for n in load_needles(file, vocabulary=AUDIOSET).notes if "not read" in n)
    assert note.startswith("a row is a whole sound here, and 'Begin Time (s)' not read")


def test_paths_of_another_machine_keep_their_folders(tmp_path: Path) -> None:
    """Two of one name were the same file here, once with each label."""
    for name in ("x/a.wav", "y/a.wav", "b.wav"):
        (tmp_path / "sounds" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "sounds" / name).touch()
    rows = [f"/there/{name},Dog" for name in ("x/a.wav", "y/a.wav", "z/b.wav")]
    file = tmp_path / "eval.csv"
    file.write_text("\n".join(["path,label", *rows]))
    root = tmp_path / "sounds"
    needles = load_needles(file, vocabulary=AUDIOSET, audio_root=root).needles
    assert {needle.source.name for needle in needles} == {
        str(root / f) for f in ("x/a.wav", "y/a.wav", "b.wav")
    }
    (root / "a.wav").touch()
    for name in ("x/a.wav", "y/a.wav"):
        (root / name).unlink()
    with pytest.raises(NiahError, match=r"3: '/there/y/a\.wav' and '/there/x/a\.wav' .*have one"):
        load_needles(file, vocabulary=AUDIOSET, audio_root=root)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".arrow"])
def test_a_missing_recording_is_not_one_called_nan(tmp_path: Path, suffix: str) -> None:
    """Clips without a recording were one, where a tool had written NaN: intervals of a single unit."""
    file = tmp_path / f"clips{suffix}"
    table = pa.table(
        {"path": ["a.wav", "b.wav"], "label": ["Dog", "Cat"], "group": [float("nan")] * 2}
    )
    if suffix == ".arrow":
        with pa.OSFile(str(file), "wb") as stream, pa.ipc.new_file(stream, table.schema) as writer:
            writer.write_table(table)
    elif suffix == ".csv":
        file.write_text("path,label,group\na.wav,Dog,nan\nb.wav,Cat,None\n")
    else:
        file.write_text("\n".join(map(json.dumps, table.to_pylist())))
    needles = load_needles(file, vocabulary=AUDIOSET)
    assert groups(needles) == {"a": "a", "b": "b"}


def test_rows_of_one_clip_may_repeat_its_times(tmp_path: Path) -> None:
    file = tmp_path / "eval.csv"
    file.write_text("path,start,label\na.wav,3,Dog\n./a.wav,3,Cat\n")
    assert len(load_needles(file, vocabulary=AUDIOSET).needles[0].labels) == 2


MANIFEST = """path,label,audioset_mid,match,also_true_mids,fold,esc10
1-a.wav,dog,/m/0bt9lr,exact,/m/05tny_;/m/0jbk,1,True
1-b.wav,hen,/m/09b5t,broader,/m/0jbk,1,False
2-c.wav,can_opening,,none,,2,False
2-d.wav,rain,/m/06mb1,exact,,2,True
"""


def test_manifest_gives_exact_labels_unless_asked(tmp_path: Path) -> None:
    file = tmp_path / "manifest.csv"
    file.write_text(MANIFEST)
    exact = load_needles(file, vocabulary=AUDIOSET)
    assert set(by_id(exact)) == {"1-a", "2-d"}
    assert by_id(exact)["1-a"].labels == ("/m/0bt9lr", "/m/05tny_", "/m/0jbk")
    assert "2 of 4 clips left out" in exact.notes[0]
    assert "hen (1)" in exact.notes[0]
    assert set(by_id(load_needles(file, vocabulary=AUDIOSET, broader=True))) == {
        "1-a",
        "1-b",
        "2-d",
    }
    own = by_id(load_needles(file, vocabulary=ESC50))
    assert {id_: needle.labels for id_, needle in own.items()} == {
        "1-a": ("dog",),
        "1-b": ("hen",),
        "2-c": ("can_opening",),
        "2-d": ("rain",),
    }
    assert set(by_id(load_needles(tmp_path, vocabulary=ESC10))) == {"1-a", "2-d"}


def test_filters_keep_rows_by_any_column(tmp_path: Path) -> None:
    file = tmp_path / "manifest.csv"
    file.write_text(MANIFEST)
    needles = load_needles(f"{file}?fold=2&esc10=true", vocabulary=ESC50)
    assert list(by_id(needles)) == ["2-d"]
    assert needles.name == f"{tmp_path.name}/manifest.csv?esc10=true&fold=2"
    assert len(load_needles(f"{file}?fold=1,2", vocabulary=ESC50)) == 4
    with pytest.raises(NiahError, match="no row passes"):
        load_needles(f"{file}?fold=9", vocabulary=ESC50)
    with pytest.raises(NiahError, match="Did you mean 'fold'"):
        load_needles(f"{file}?folds=1", vocabulary=ESC50)
    with pytest.raises(NiahError, match=r"must read \?column=value"):
        load_needles(f"{file}?fold", vocabulary=ESC50)


def test_a_table_and_a_json_name_recordings(tmp_path: Path) -> None:
    table = tmp_path / "eval.csv"
    table.write_text("path,labels,group\na.wav,dog,tape 1\nb.wav,dog, tape 1\nc.wav,dog,\n")
    assert groups(load_needles(table, vocabulary=ESC50)) == {
        "a": "tape 1",
        "b": "tape 1",
        "c": "c",
    }
    file = tmp_path / "eval.json"
    items = [
        {"wav": "a.wav", "labels": "dog", "group": "x", "video_id": "v"},
        {"wav": "b.wav", "labels": "dog", "video_id": "v"},
        {"wav": "c.wav", "labels": "dog"},
    ]
    file.write_text(json.dumps({"data": items}))
    assert groups(load_needles(file, vocabulary=ESC50)) == {"a": "x", "b": "v", "c": "c"}
