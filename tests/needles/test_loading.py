"""Loading of a set: places, missing files, hashes, and the developers' real audio."""

import hashlib
from pathlib import Path

import pytest

from niah.audio import AudioError
from niah.errors import NiahError
from niah.needles import load_needles, waveform
from tests.helpers.clip_files import (
    AUDIOSET,
    ESC10,
    ESC50,
    RATE,
)


def test_unknown_places_and_layouts(tmp_path: Path) -> None:
    with pytest.raises(NiahError, match="Did you mean 'synthetic'"):
        load_needles("syntetic", vocabulary=AUDIOSET)
    with pytest.raises(NiahError, match=r"none\.csv: no such file"):
        load_needles(tmp_path / "none.csv", vocabulary=AUDIOSET)
    (tmp_path / "events.csv").write_text("path,labels\n")
    with pytest.raises(NiahError, match=r"event\.csv: no such .* Did you mean '.*/events\.csv'\?"):
        load_needles(tmp_path / "event.csv", vocabulary=AUDIOSET)
    (tmp_path / "events.csv").unlink()
    with pytest.raises(NiahError, match="none of the folders known"):
        load_needles(tmp_path, vocabulary=AUDIOSET)
    (tmp_path / "x.mat").write_text("x")
    with pytest.raises(NiahError, match=r"must be a \.json"):
        load_needles(tmp_path / "x.mat", vocabulary=AUDIOSET)


def test_a_missing_file_is_an_error_of_the_clip_and_not_of_the_set(tmp_path: Path) -> None:
    file = tmp_path / "eval.csv"
    file.write_text("path,labels\nnone.wav,/m/09x0r\n")
    (needle,) = load_needles(file, vocabulary=AUDIOSET).needles
    with pytest.raises(AudioError, match=r"none\.wav: no such file"):
        waveform(needle, RATE)
    with pytest.raises(AudioError, match=r"none\.wav: no such file"):
        needle.source.digest()


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


def test_the_hash_of_recordings_is_of_what_belongs_together(tmp_path: Path) -> None:
    def hashed(*groups: str) -> str:
        rows = [f"c{number}.wav,dog,{group}\n" for number, group in enumerate(groups)]
        (tmp_path / "eval.csv").write_text("".join(["path,labels,group\n", *rows]))
        return load_needles(tmp_path / "eval.csv", vocabulary=ESC50).groups_sha256

    assert hashed("a", "a", "b") == hashed("x", "x", "") != hashed("a", "b", "b")
    assert hashed("", "", "") == hashed("a", "b", "c") != hashed("a", "a", "a")


def test_real_esc10_fold4(shared: Path) -> None:
    spec = f"{shared}/data/esc50/manifest.csv?esc10=True&fold=4"
    needles = load_needles(spec, vocabulary=ESC10)
    assert len(needles) == 80
    assert needles.targets().sum(axis=0).tolist() == [8] * 10
    assert len({needle.group for needle in needles.needles}) == 59  # recordings
    assert len(load_needles(spec.replace("fold=4", "fold=1,2,3,5"), vocabulary=ESC10)) == 320
    assert len(waveform(needles.needles[0], RATE).samples) == 5 * RATE


@pytest.mark.parametrize("folder", ["esc50", "events_cc", "instruments", "audioset_like"])
def test_real_manifests_in_audioset_labels(shared: Path, folder: str) -> None:
    needles = load_needles(shared / "data" / folder / "manifest.csv", vocabulary=AUDIOSET)
    assert len(needles) > 5
    assert waveform(needles.needles[0], RATE).sample_rate == RATE
    assert len(needles) <= len(
        load_needles(shared / "data" / folder / "manifest.csv", vocabulary=AUDIOSET, broader=True)
    )
