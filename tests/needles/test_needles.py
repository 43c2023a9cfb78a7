"""Needle loaders: the layouts in which people hold their clips, and how each can be broken."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from niah.audio import AudioError
from niah.errors import NiahError
from niah.needles import Needle, NeedleSet, load_needles, synthetic, waveform
from niah.needles.needle import FileSource
from niah.needles.selection import select
from niah.vocabularies import Vocabulary, vocabulary

AUDIOSET = vocabulary("audioset-527")
ESC10 = vocabulary("esc-10")
ESC50 = vocabulary("esc-50")
RATE = 16_000


def tone(frequency_hz: float = 440.0, seconds: float = 0.1) -> NDArray[np.float32]:
    t = np.arange(int(seconds * RATE)) / RATE
    return (0.5 * np.sin(2 * np.pi * frequency_hz * t)).astype(np.float32)


def write_tone(path: Path, frequency_hz: float = 440.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone(frequency_hz), RATE)
    return path


def by_id(needles: NeedleSet) -> dict[str, Needle]:
    return {needle.id: needle for needle in needles.needles}


# --- the embedded set


def test_synthetic_needles_are_the_evaluation_clips() -> None:
    found = load_needles("synthetic", vocabulary=vocabulary("synthetic"), limit=30)
    assert (found.name, len(found)) == ("synthetic", 30)
    needle = found.needles[0]
    split, index = needle.id.split("-")
    samples, labels = synthetic.clip(split, int(index))
    assert split == "evaluation"
    assert needle.labels == labels
    assert np.array_equal(waveform(needle, RATE).samples, samples)
    assert found.targets().sum(axis=0).min() >= 1  # stratified: every class has a clip


def test_synthetic_splits_differ_and_grow() -> None:
    labels = vocabulary("synthetic")
    validation = load_needles("synthetic:validation", vocabulary=labels)
    assert (validation.name, len(validation)) == ("synthetic:validation", 400)
    assert len(load_needles("synthetic:validation", vocabulary=labels, limit=405)) == 405
    with pytest.raises(NiahError, match="Did you mean 'validation'"):
        load_needles("synthetic:valdation", vocabulary=labels)
    with pytest.raises(NiahError, match="choose a model trained on them"):
        load_needles("synthetic", vocabulary=AUDIOSET)


# --- AST / DASS JSON


def test_ast_json(tmp_path: Path) -> None:
    write_tone(tmp_path / "audio" / "a.flac")
    outside = write_tone(tmp_path / "elsewhere" / "b.wav")
    items = [
        {"wav": "audio/a.flac", "labels": "/m/09x0r,/m/0jbk", "video_id": "x"},
        {"wav": str(outside), "labels": "/m/04rlf,/m/04rlf"},
    ]
    file = tmp_path / "eval.json"
    file.write_text(json.dumps({"data": items}))
    found = by_id(load_needles(file, vocabulary=AUDIOSET))
    assert found["a"].labels == ("/m/09x0r", "/m/0jbk")
    assert found["b"].labels == ("/m/04rlf",)
    for needle in found.values():
        np.testing.assert_allclose(waveform(needle, RATE).samples, tone(), atol=1e-4)


def test_equal_names_are_told_apart_by_their_paths(tmp_path: Path) -> None:
    items = [{"wav": f"{folder}/x.wav", "labels": "/m/09x0r"} for folder in "ab"]
    file = tmp_path / "eval.json"
    file.write_text(json.dumps({"data": [*items, {"wav": "a/y.wav", "labels": "/m/09x0r"}]}))
    assert set(by_id(load_needles(file, vocabulary=AUDIOSET))) == {"a/x.wav", "b/x.wav", "y"}
    file.write_text(json.dumps({"data": [items[0], items[0]]}))
    with pytest.raises(
        NiahError, match=r"item 1: clip 'a/x.wav' is listed twice \(before: .*item 0"
    ):
        load_needles(file, vocabulary=AUDIOSET)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "is empty"),
        ("{", "line 1: is not JSON"),
        ("[]", "must be"),
        ('{"data": []}', "no items"),
        ('{"data": ["x.wav"]}', "item 0: must be"),
        ('{"data": [{"wav": "x.wav"}]}', "item 0: lacks the text 'labels'"),
        ('{"data": [{"wav": "x.wav", "labels": ","}]}', "item 0: has no label"),
        ('{"data": [{"wav": "x.wav", "labels": "Dgo"}]}', "item 0: .*'Dgo' is not in .*mean 'Dog'"),
    ],
)
def test_malformed_json(tmp_path: Path, content: str, told: str) -> None:
    file = tmp_path / "bad.json"
    file.write_text(content)
    with pytest.raises(NiahError, match=told):
        load_needles(file, vocabulary=AUDIOSET)


def test_a_missing_file_is_an_error_of_the_clip_and_not_of_the_set(tmp_path: Path) -> None:
    file = tmp_path / "eval.csv"
    file.write_text("path,labels\nnone.wav,/m/09x0r\n")
    (needle,) = load_needles(file, vocabulary=AUDIOSET).needles
    with pytest.raises(AudioError, match=r"none\.wav: no such file"):
        waveform(needle, RATE)
    with pytest.raises(AudioError, match=r"none\.wav: no such file"):
        needle.source.digest()


# --- tables


def test_csv_of_paths_and_labels(tmp_path: Path) -> None:
    file = tmp_path / "eval.csv"
    file.write_text('path,labels\na.wav,"/m/09x0r,/m/0jbk"\nb/c.wav,/m/04rlf;/m/09x0r\n')
    found = by_id(load_needles(file, vocabulary=AUDIOSET))
    assert found["a"].labels == ("/m/09x0r", "/m/0jbk")
    assert found["c"].labels == ("/m/04rlf", "/m/09x0r")
    assert found["c"].source == FileSource(tmp_path / "b" / "c.wav")
    moved = by_id(load_needles(file, vocabulary=AUDIOSET, audio_root=Path("elsewhere")))
    assert moved["c"].source == FileSource(Path("elsewhere/b/c.wav"))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "is empty"),
        ("path,labels\n", "no rows"),
        ("file,labels\na.wav,/m/09x0r\n", "lacks the column 'path'"),
        ("path,what\na.wav,/m/09x0r\n", "lacks a column 'labels'"),
        ("path,labels\na.wav\n", "line 2: has 1 cells"),
        ("path,labels\na.wav,\n", "line 2: has no label"),
        ("path,labels\n,/m/09x0r\n", "line 2: has no path"),
        (
            "path,labels\na.wav,/m/yyy\nb.wav,/m/zzz\n",
            "line 2: label '/m/yyy' is not in .*--labels",
        ),
        ("path,label,audioset_mid,match\na.wav,x,/m/09x0r,so-so\n", "line 2: match must be"),
    ],
)
def test_malformed_csv(tmp_path: Path, content: str, told: str) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(content)
    with pytest.raises(NiahError, match=told):
        load_needles(file, vocabulary=AUDIOSET)


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
    found = load_needles(f"{file}?fold=2&esc10=true", vocabulary=ESC50)
    assert list(by_id(found)) == ["2-d"]
    assert found.name == f"{tmp_path.name}/manifest.csv?esc10=true&fold=2"
    assert len(load_needles(f"{file}?fold=1,2", vocabulary=ESC50)) == 4
    with pytest.raises(NiahError, match="no row passes"):
        load_needles(f"{file}?fold=9", vocabulary=ESC50)
    with pytest.raises(NiahError, match="Did you mean 'fold'"):
        load_needles(f"{file}?folds=1", vocabulary=ESC50)
    with pytest.raises(NiahError, match=r"must read \?column=value"):
        load_needles(f"{file}?fold", vocabulary=ESC50)


# --- AudioSet segments

ID_A, ID_B, ID_C = "--4gqARaEJE", "-0p7hKXZ1ww", "a_b-c_d-e_f"


@pytest.mark.parametrize(
    "content",
    [
        "# created\n# num_ytids=3\n# YTID, start_seconds, end_seconds, positive_labels\n"
        f'{ID_A}, 0.000, 10.000, "/m/068hy,/m/07q6cd_"\n'
        f'{ID_B}, 30.000, 40.000, "/m/09x0r"\n{ID_C}, 200.000, 210.000, "/m/04rlf"\n',
        "YTID,start_seconds,end_seconds,positive_labels\n"
        f'{ID_A},0,10,"/m/068hy,/m/07q6cd_"\n{ID_B},30,40,/m/09x0r\n{ID_C},200,210,/m/04rlf\n',
        f'{ID_A}, 0.000, 10.000, ""/m/068hy,/m/07q6cd_""\r\n'
        f'{ID_B}, 30.000, 40.000, ""/m/09x0r""\r\n{ID_C}, 200.000, 210.000, ""/m/04rlf""\r\n',
    ],
    ids=["google", "header", "doubled-quotes"],
)
def test_segment_lists_in_circulation_are_read_alike(tmp_path: Path, content: str) -> None:
    file = tmp_path / "eval_segments.csv"
    file.write_text(content)
    write_tone(tmp_path / "clips" / f"{ID_A}_0.000.flac", 440)
    write_tone(tmp_path / "clips" / f"Y{ID_C}_200000_210000.wav", 880)
    found = load_needles(file, vocabulary=AUDIOSET)
    needles = by_id(found)
    assert needles[ID_A].labels == ("/m/068hy", "/m/07q6cd_")
    np.testing.assert_allclose(waveform(needles[ID_A], RATE).samples, tone(440), atol=1e-4)
    np.testing.assert_allclose(waveform(needles[ID_C], RATE).samples, tone(880), atol=1e-4)
    assert "1 of 3 segments have no file" in found.notes[0]
    with pytest.raises(AudioError, match="no such file"):
        waveform(needles[ID_B], RATE)


def test_segments_without_any_file_or_with_a_bad_line_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "eval_segments.csv"
    file.write_text(f'# x\n{ID_A}, 0.000, 10.000, "/m/068hy"\n')
    with pytest.raises(NiahError, match="name the folder with --audio-root"):
        load_needles(file, vocabulary=AUDIOSET)
    with pytest.raises(NiahError, match="no such folder"):
        load_needles(file, vocabulary=AUDIOSET, audio_root=tmp_path / "none")
    file.write_text(f'# x\n{ID_A}, zero, 10.000, "/m/068hy"\n')
    with pytest.raises(NiahError, match="line 2: must read YTID"):
        load_needles(file, vocabulary=AUDIOSET)
    file.write_text("# x\n")
    with pytest.raises(NiahError, match="no segments"):
        load_needles(file, vocabulary=AUDIOSET)
    with pytest.raises(NiahError, match="no columns to filter"):
        load_needles(f"{file}?fold=1", vocabulary=AUDIOSET)


def test_two_segments_of_one_video(tmp_path: Path) -> None:
    file = tmp_path / "eval_segments.csv"
    file.write_text(f'# x\n{ID_A}, 0.0, 10.0, "/m/068hy"\n{ID_A}, 30.5, 40.5, "/m/09x0r"\n')
    write_tone(tmp_path / f"{ID_A}_0.wav", 440)
    write_tone(tmp_path / f"{ID_A}_30.5.wav", 880)
    needles = by_id(load_needles(file, vocabulary=AUDIOSET))
    assert set(needles) == {f"{ID_A}_0", f"{ID_A}_30.5"}
    np.testing.assert_allclose(
        waveform(needles[f"{ID_A}_30.5"], RATE).samples, tone(880), atol=1e-4
    )


# --- ESC-50 and FSD50K

ESC_META = """filename,fold,target,category,esc10,src_file,take
1-100032-A-0.wav,1,0,dog,True,100032,A
1-100038-A-6.wav,1,6,hen,False,100038,A
4-100210-A-34.wav,4,34,can_opening,False,100210,A
"""


def test_esc50_folder(tmp_path: Path) -> None:
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "esc50.csv").write_text(ESC_META)
    write_tone(tmp_path / "audio" / "1-100032-A-0.wav")
    own = load_needles(tmp_path, vocabulary=ESC50)
    assert by_id(own)["1-100038-A-6"].labels == ("hen",)
    assert "BY-NC" in own.licence
    audioset = load_needles(tmp_path, vocabulary=AUDIOSET)
    assert list(by_id(audioset)) == ["1-100032-A-0"]
    assert audioset.needles[0].labels[0] == "/m/0bt9lr"
    assert "CC BY 3.0" in audioset.licence  # only an ESC-10 clip is left
    assert len(load_needles(tmp_path, vocabulary=AUDIOSET, broader=True)) == 2
    assert len(waveform(audioset.needles[0], RATE).samples) == RATE // 10
    assert len(load_needles(f"{tmp_path}/meta/esc50.csv?fold=4", vocabulary=ESC50)) == 1
    with pytest.raises(NiahError, match="no clip is left"):
        load_needles(f"{tmp_path}/meta/esc50.csv?fold=4", vocabulary=ESC10)
    with pytest.raises(NiahError, match="neither ESC-50's categories nor"):
        load_needles(tmp_path, vocabulary=vocabulary("synthetic"))


def test_fsd50k_folder_maps_by_mid_and_tells_what_it_drops(tmp_path: Path) -> None:
    truth = tmp_path / "FSD50K.ground_truth"
    truth.mkdir()
    (truth / "eval.csv").write_text(
        'fname,labels,mids\n37199,"Electric_guitar,Guitar","/m/02sgy,/m/0342h"\n'
        '175151,"Thing,Speech","/m/nothing,/m/09x0r"\n3,Thing,/m/nothing\n'
    )
    (truth / "dev.csv").write_text("fname,labels,mids,split\n5,Speech,/m/09x0r,val\n")
    write_tone(tmp_path / "FSD50K.eval_audio" / "37199.wav")
    found = load_needles(tmp_path, vocabulary=AUDIOSET)
    assert by_id(found)["37199"].labels == ("/m/02sgy", "/m/0342h")
    assert by_id(found)["175151"].labels == ("/m/09x0r",)
    assert "/m/nothing (2)" in found.notes[0]
    assert "1 of 3 clips left out" in found.notes[1]
    assert len(waveform(by_id(found)["37199"], RATE).samples) == RATE // 10
    (dev,) = load_needles(f"{truth}/dev.csv?split=val", vocabulary=AUDIOSET).needles
    assert isinstance(dev.source, FileSource)
    assert dev.source.path == tmp_path / "FSD50K.dev_audio" / "5.wav"


# --- the recordings that clips are cut from


def groups(needles: NeedleSet) -> dict[str, str]:
    return {needle.id: needle.group for needle in needles.needles}


def test_clips_of_one_esc50_recording_are_a_group(tmp_path: Path) -> None:
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "esc50.csv").write_text(
        ESC_META + "1-100032-B-0.wav,1,0,dog,True,100032,B\n"
    )
    found = groups(load_needles(tmp_path, vocabulary=ESC50))
    assert found["1-100032-A-0"] == found["1-100032-B-0"] == "100032"
    assert len(set(found.values())) == 3
    plain = tmp_path / "plain.csv"  # the names alone tell it too
    plain.write_text("path,labels\na/1-7-A-0.wav,dog\na/1-7-B-0.wav,dog\na/1-7-C.wav,dog\n")
    assert groups(load_needles(plain, vocabulary=ESC50)) == {
        "1-7-A-0": "7",
        "1-7-B-0": "7",
        "1-7-C": "1-7-C",
    }


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


def test_segments_of_one_video_are_a_group(tmp_path: Path) -> None:
    file = tmp_path / "segments.csv"
    file.write_text(
        'aa, 0.0, 10.0, "/m/09x0r"\naa, 10.0, 20.0, "/m/09x0r"\nbb, 0.0, 10.0, "/m/09x0r"\n'
    )
    write_tone(tmp_path / "aa_0.wav")
    assert sorted(groups(load_needles(file, vocabulary=AUDIOSET)).values()) == ["aa", "aa", "bb"]


def test_fsd50k_clips_of_one_uploader_are_a_group(tmp_path: Path) -> None:
    truth = tmp_path / "FSD50K.ground_truth"
    truth.mkdir()
    rows = "".join(f"{clip},Speech,/m/09x0r\n" for clip in (1, 2, 3))
    (truth / "eval.csv").write_text(f"fname,labels,mids\n{rows}")
    assert set(groups(load_needles(tmp_path, vocabulary=AUDIOSET)).values()) == {"1", "2", "3"}
    metadata = tmp_path / "FSD50K.metadata" / "eval_clips_info_FSD50K.json"
    metadata.parent.mkdir()
    metadata.write_text(json.dumps({"1": {"uploader": "ann"}, "2": {"uploader": "ann"}}))
    assert groups(load_needles(tmp_path, vocabulary=AUDIOSET)) == {"1": "ann", "2": "ann", "3": "3"}
    metadata.write_text('{"1": {"title": "x"}}')
    with pytest.raises(NiahError, match="uploader"):
        load_needles(tmp_path, vocabulary=AUDIOSET)


def test_parquet_names_recordings(tmp_path: Path) -> None:
    audio = [{"bytes": b"", "path": None}] * 2
    labels = [["/m/09x0r"]] * 2
    columns: dict[str, Sequence[object]] = {"id": ["a", "b"], "audio": audio, "labels": labels}
    write_parquet(tmp_path / "a.parquet", columns)
    assert groups(load_needles(tmp_path / "a.parquet", vocabulary=AUDIOSET)) == {"a": "a", "b": "b"}
    write_parquet(tmp_path / "b.parquet", {**columns, "group": ["x", "x"]})
    assert groups(load_needles(tmp_path / "b.parquet", vocabulary=AUDIOSET)) == {"a": "x", "b": "x"}
    write_parquet(tmp_path / "c.parquet", {**columns, "video_id": ["v", "w"]})
    assert groups(load_needles(tmp_path / "c.parquet", vocabulary=AUDIOSET)) == {"v": "v", "w": "w"}


def test_hashes_of_a_clip_list(tmp_path: Path) -> None:
    table = tmp_path / "eval.csv"
    names = [f"c{i}" for i in range(8)]
    table.write_text("path,labels\n" + "".join(f"{name}.wav,dog;hen\n" for name in names))
    first, other = (load_needles(table, vocabulary=ESC50, seed=seed) for seed in (0, 1))
    assert first.ids_sha256 != other.ids_sha256  # another order
    expected = hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()
    assert first.clips_sha256 == other.clips_sha256 == expected
    digest = {name: f"digest of {name}" for name in names}
    lines = sorted(f"{name}\tdog,hen\tdigest of {name}" for name in names)
    whole = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    for needles in (first, other):
        assert needles.content_sha256([digest[n.id] for n in needles.needles]) == whole
    digest["c3"] = "another sound"
    assert first.content_sha256([digest[n.id] for n in first.needles]) != whole


# --- Parquet


def flac_bytes(tmp_path: Path, frequency_hz: float) -> bytes:
    return write_tone(tmp_path / "made.flac", frequency_hz).read_bytes()


def write_parquet(path: Path, columns: Mapping[str, Sequence[object]], group: int = 2) -> None:
    import pyarrow
    import pyarrow.parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.table(dict(columns)), path, row_group_size=group)


def test_audioset_parquet_shards(tmp_path: Path) -> None:
    pitches = {f"id{i:02d}": 300.0 + 50 * i for i in range(25)}
    for shard, ids in enumerate((list(pitches)[:20], list(pitches)[20:])):
        audio = [
            {"bytes": flac_bytes(tmp_path, pitches[id_]), "path": f"audio/{id_}.flac"}
            for id_ in ids
        ]
        write_parquet(
            tmp_path / "data" / f"{shard:02d}.parquet",
            {
                "video_id": ids,
                "audio": audio,
                "labels": [["/m/09x0r", "/m/0jbk"]] * len(ids),
                "human_labels": [["Speech", "Animal"]] * len(ids),
            },
            group=12,
        )
    found = load_needles(tmp_path / "data", vocabulary=AUDIOSET)
    assert set(by_id(found)) == set(pitches)
    for needle in found.needles:
        assert needle.labels == ("/m/09x0r", "/m/0jbk")
        sound = waveform(needle, RATE).samples
        np.testing.assert_allclose(sound, tone(pitches[needle.id]), atol=1e-4)
    digests = {needle.source.digest() for needle in found.needles}
    assert len(digests) == 25
    one = load_needles(tmp_path / "data" / "01.parquet", vocabulary=AUDIOSET)
    assert set(by_id(one)) == set(list(pitches)[20:])
    expected = hashlib.sha256(flac_bytes(tmp_path, pitches["id20"])).hexdigest()
    assert by_id(one)["id20"].source.digest() == expected


def test_esc50_parquet(tmp_path: Path) -> None:
    content = flac_bytes(tmp_path, 440)
    write_parquet(
        tmp_path / "esc.parquet",
        {
            "filename": ["1-a.wav", "2-b.wav", "2-c.wav"],
            "fold": [1, 2, 2],
            "category": ["dog", "rain", "hen"],
            "esc10": [True, True, False],
            "audio": [{"bytes": content, "path": None}, {"bytes": None, "path": "x"}, None],
        },
    )
    found = by_id(load_needles(f"{tmp_path}/esc.parquet?fold=2", vocabulary=ESC10))
    assert set(found) == {"2-b"}
    every = by_id(load_needles(tmp_path / "esc.parquet", vocabulary=ESC50))
    assert len(waveform(every["1-a"], RATE).samples) == RATE // 10
    for id_ in ("2-b", "2-c"):
        with pytest.raises(AudioError, match="no audio bytes"):
            waveform(every[id_], RATE)


def test_broken_parquet(tmp_path: Path) -> None:
    file = tmp_path / "x.parquet"
    file.write_bytes(b"not parquet")
    with pytest.raises(NiahError, match="is not a Parquet file"):
        load_needles(file, vocabulary=AUDIOSET)
    audio: list[object] = [{"bytes": b"x", "path": None}]
    broken: list[tuple[dict[str, list[object]], str]] = [
        ({"video_id": ["a"], "labels": [["/m/09x0r"]]}, "lacks the column 'audio'"),
        ({"video_id": ["a"], "audio": ["path.wav"], "labels": [["x"]]}, "embedded 'bytes'"),
        ({"video_id": ["a"], "audio": audio}, "lacks a column 'labels'"),
        ({"audio": audio, "labels": [["/m/09x0r"]]}, "column of clip ids"),
        ({"video_id": ["a"], "audio": audio, "labels": [["/m/zzz"]]}, "row 0: label '/m/zzz'"),
        ({"video_id": ["a"], "audio": audio, "labels": [[]]}, "row 0: has no label"),
    ]
    for columns, told in broken:
        write_parquet(file, columns)
        with pytest.raises(NiahError, match=told):
            load_needles(file, vocabulary=AUDIOSET)


def test_unknown_places_and_layouts(tmp_path: Path) -> None:
    with pytest.raises(NiahError, match="Did you mean 'synthetic'"):
        load_needles("syntetic", vocabulary=AUDIOSET)
    with pytest.raises(NiahError, match=r"none\.csv: no such file"):
        load_needles(tmp_path / "none.csv", vocabulary=AUDIOSET)
    with pytest.raises(NiahError, match="none of the folders known"):
        load_needles(tmp_path, vocabulary=AUDIOSET)
    (tmp_path / "x.mat").write_text("x")
    with pytest.raises(NiahError, match=r"must be a \.json"):
        load_needles(tmp_path / "x.mat", vocabulary=AUDIOSET)


# --- selection

Clips = list[tuple[str, ...]]
CLIPS = st.lists(
    st.lists(st.sampled_from("abcdef"), min_size=1, max_size=3, unique=True).map(tuple),
    min_size=1,
    max_size=40,
)


def made(label_sets: Clips) -> list[Needle]:
    source = FileSource(Path("x.wav"))
    return [Needle(f"clip{i}", labels, source) for i, labels in enumerate(label_sets)]


@given(CLIPS, st.integers(0, 3), st.randoms())
@settings(max_examples=60, deadline=None)
def test_selection_is_a_prefix_and_blind_to_row_order(
    label_sets: Clips, seed: int, rng: Random
) -> None:
    needles = made(label_sets)
    whole = select(needles, None, seed)
    assert sorted(n.id for n in whole) == sorted(n.id for n in needles)
    for limit in range(1, len(needles) + 2):
        assert select(needles, limit, seed) == whole[:limit]
    shuffled = list(needles)
    rng.shuffle(shuffled)
    assert select(shuffled, None, seed) == whole


def test_single_label_clips_are_taken_evenly() -> None:
    label_sets: Clips = [("abcdef"[i % 6],) for i in range(60)]
    label_sets += [("a",)] * 40
    taken = select(made(label_sets), 24)
    assert set(Counter(n.labels[0] for n in taken).values()) == {4}
    assert [n.id for n in select(made(label_sets), 24, seed=1)] != [n.id for n in taken]


def test_rare_labels_are_taken_before_common_ones() -> None:
    label_sets: Clips = [("common",)] * 100 + [("rare", "common")]
    assert select(made(label_sets), 1)[0].labels == ("rare", "common")


def test_limit_below_one_is_refused() -> None:
    with pytest.raises(NiahError, match="--limit must be 1 or more but 0"):
        select(made([("a",)]), 0)


def test_id_list_hash_is_of_the_ids_in_order() -> None:
    labels = Vocabulary("v", ("a",), ("A",))
    needles = NeedleSet("x", labels, tuple(made([("a",), ("a",)])), "none")
    assert needles.ids_sha256 == hashlib.sha256(b"clip0\nclip1").hexdigest()
    assert needles.targets().tolist() == [[True], [True]]


# --- the developers' real audio


def test_real_esc10_fold4(shared: Path) -> None:
    spec = f"{shared}/data/esc50/manifest.csv?esc10=True&fold=4"
    found = load_needles(spec, vocabulary=ESC10)
    assert len(found) == 80
    assert found.targets().sum(axis=0).tolist() == [8] * 10
    assert len(load_needles(spec.replace("fold=4", "fold=1,2,3,5"), vocabulary=ESC10)) == 320
    assert len(waveform(found.needles[0], RATE).samples) == 5 * RATE


@pytest.mark.parametrize("folder", ["esc50", "events_cc", "instruments", "audioset_like"])
def test_real_manifests_in_audioset_labels(shared: Path, folder: str) -> None:
    found = load_needles(shared / "data" / folder / "manifest.csv", vocabulary=AUDIOSET)
    assert len(found) > 5
    assert waveform(found.needles[0], RATE).sample_rate == RATE
    assert len(found) <= len(
        load_needles(shared / "data" / folder / "manifest.csv", vocabulary=AUDIOSET, broader=True)
    )
