"""The ESC-50 folder."""

from pathlib import Path

import pytest

from niah.errors import NiahError
from niah.needles import load_needles, waveform
from niah.vocabularies import vocabulary
from tests.helpers.clip_files import AUDIOSET, ESC10, ESC50, RATE, by_id, groups, write_tone

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


def test_a_table_that_is_a_link_has_its_sounds_at_either_end(tmp_path: Path) -> None:
    """git-annex and the hub's cache link each file into a store, where no folder of sounds is beside it."""
    store, meta = tmp_path / "store" / "deep" / "abc", tmp_path / "set" / "meta"
    store.parent.mkdir(parents=True)
    meta.mkdir(parents=True)
    store.write_text(ESC_META)
    (meta / "esc50.csv").symlink_to(store)
    write_tone(tmp_path / "set" / "audio" / "1-100032-A-0.wav")
    (tmp_path / "mine.csv").symlink_to(meta / "esc50.csv")
    (needle, *_) = load_needles(meta.parent, vocabulary=ESC10).needles
    assert len(waveform(needle, RATE).samples) == RATE // 10
    (meta / "esc50.csv").unlink()
    store.rename(meta / "esc50.csv")
    (needle, *_) = load_needles(tmp_path / "mine.csv", vocabulary=ESC10).needles
    assert len(waveform(needle, RATE).samples) == RATE // 10


def test_clips_of_one_esc50_recording_are_a_group(tmp_path: Path) -> None:
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "esc50.csv").write_text(
        ESC_META + "1-100032-B-0.wav,1,0,dog,True,100032,B\n"
    )
    needles = groups(load_needles(tmp_path, vocabulary=ESC50))
    assert needles["1-100032-A-0"] == needles["1-100032-B-0"] == "100032"
    assert len(set(needles.values())) == 3
    plain = tmp_path / "plain.csv"  # the names alone tell it too
    plain.write_text("path,labels\na/1-7-A-0.wav,dog\na/1-7-B-0.wav,dog\na/1-7-C.wav,dog\n")
    assert groups(load_needles(plain, vocabulary=ESC50)) == {
        "1-7-A-0": "7",
        "1-7-B-0": "7",
        "1-7-C": "1-7-C",
    }


def test_the_real_fold_4_has_fewer_recordings_than_clips(shared: Path) -> None:
    manifest = shared / "data" / "esc50" / "manifest.csv"
    for name, clips, recordings in (("esc-50", 400, 297), ("esc-10", 80, 59)):
        fold = groups(load_needles(f"{manifest}?fold=4", vocabulary=vocabulary(name)))
        assert (len(fold), len(set(fold.values()))) == (clips, recordings)
