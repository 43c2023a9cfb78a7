"""`niah data verify`: what it counts is what was put there."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import typer
from numpy.typing import NDArray

from niah.audio import AudioError
from niah.cli.data import data_verify
from niah.errors import NiahError
from niah.frontends.kaldi import KaldiFrontend
from niah.needles import NeedleSet, load_needles
from niah.needles.clean_list import check_clean_list, write_clean_list
from niah.needles.feature_cache import FeatureCache
from niah.needles.needle import FileSource, Needle
from niah.needles.prepared import prepare
from niah.needles.verify import verify
from niah.vocabularies import vocabulary

AUDIOSET = vocabulary("audioset-527")


def noise(seconds: float, rate: int, seed: int, channels: int = 1) -> NDArray[np.float64]:
    shape = (int(seconds * rate), channels)
    return 0.1 * np.random.default_rng(seed).standard_normal(shape)


@pytest.fixture
def mixed(tmp_path: Path) -> NeedleSet:
    """Three good clips (two alike), one of each common fault, one missing."""
    soundfile.write(tmp_path / "a.wav", noise(1.0, 16_000, 0), 16_000)
    soundfile.write(tmp_path / "b.flac", noise(2.0, 8_000, 1, 2), 8_000)
    (tmp_path / "again.wav").write_bytes((tmp_path / "a.wav").read_bytes())
    soundfile.write(tmp_path / "silent.wav", np.zeros(16_000), 16_000)
    (tmp_path / "text.wav").write_text("not audio")
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "cut.wav").write_bytes((tmp_path / "a.wav").read_bytes()[:5000])
    names = [
        "a.wav",
        "b.flac",
        "again.wav",
        "silent.wav",
        "text.wav",
        "empty.wav",
        "cut.wav",
        "gone.wav",
    ]
    rows = "".join(f"{name},/m/09x0r\n" for name in names[:-1]) + "gone.wav,/m/09x0r;/m/0jbk\n"
    (tmp_path / "eval.csv").write_text("path,labels\n" + rows)
    return load_needles(tmp_path / "eval.csv", vocabulary=AUDIOSET)


def test_every_clip_is_counted_once(mixed: NeedleSet) -> None:
    report = verify(mixed, 16_000)
    assert (report.n_clips, report.n_readable) == (8, 3)
    assert report.unreadable == {
        "silent": ("silent",),
        "not-audio": ("text",),
        "empty": ("empty",),
        "truncated": ("cut",),
        "missing": ("gone",),
    }
    assert report.sample_rates == {16_000: 2, 8_000: 1}
    assert report.notes == {"stereo averaged": 1}
    assert report.durations_s == pytest.approx((1.0, 1.0, 2.0), abs=0.01)
    assert report.total_s == pytest.approx(4.0, abs=0.01)
    assert {frozenset(ids) for ids in report.repeated} == {frozenset({"a", "again"})}
    assert report.clips_per_class == {"Speech": 3}
    assert report.ids_sha256 == mixed.ids_sha256
    assert report.features is None


def test_feature_statistics_are_those_of_all_frames(mixed: NeedleSet) -> None:
    import torch

    frontend = KaldiFrontend()
    result = verify(mixed, 16_000, frontend).features
    assert result is not None
    frames = []
    for needle in mixed.needles:
        if needle.id in ("a", "again", "b"):
            samples = torch.from_numpy(needle.source.waveform(16_000).samples)
            features = frontend(samples[None])[0]
            frames.append(frontend.denormalise(features).double())
    every = torch.cat(frames)
    assert result.frames == len(every)
    assert result.mean == pytest.approx(float(every.mean()), abs=1e-4)
    assert result.std == pytest.approx(float(every.std(correction=0)), abs=1e-4)
    assert (result.expected_mean, result.expected_std) == (frontend.mean, frontend.std)


def test_the_report_says_it_in_words(mixed: NeedleSet) -> None:
    text = " ".join(verify(mixed, 16_000, KaldiFrontend()).markdown().split())
    for message in (
        "clips: 8, readable: 3",
        mixed.ids_sha256,
        "16000 Hz (2)",
        "**missing: 1 clip**: gone",
        "| Speech | 3 |",
        "normalises by -4.268, 4.569",
        "1 of 527 classes",
    ):
        assert message in text


def test_a_set_without_one_readable_clip_is_still_reported(tmp_path: Path) -> None:
    (tmp_path / "eval.csv").write_text("path,labels\ngone.wav,/m/09x0r\n")
    report = verify(load_needles(tmp_path / "eval.csv", vocabulary=AUDIOSET), 16_000)
    assert report.n_readable == 0
    assert "missing: 1 clip*" in report.markdown()


def test_clips_count_as_they_do_in_a_run(tmp_path: Path) -> None:
    """Too short, silent where it is hidden, longer and shorter than what is hidden."""
    late = np.concatenate([np.zeros(11 * 16_000), noise(2.0, 16_000, 0)[:, 0]])
    sounds = {
        "tick": noise(0.01, 16_000, 0),
        "late": late,
        "long": noise(12.0, 16_000, 1),
        "whole": noise(10.0, 16_000, 2),
        "short": noise(2.0, 16_000, 3),
    }
    for name, samples in sounds.items():
        soundfile.write(tmp_path / f"{name}.wav", samples, 16_000)
    rows = "".join(f"{name}.wav,/m/09x0r\n" for name in sounds)
    (tmp_path / "eval.csv").write_text("path,labels\n" + rows)
    needles = load_needles(tmp_path / "eval.csv", vocabulary=AUDIOSET)
    frontend = KaldiFrontend()
    report = verify(needles, 16_000, frontend)
    run = prepare(needles, frontend, FeatureCache(tmp_path / "cache"))
    assert report.readable_ids == {needle.id for needle in run.needles.needles}
    assert report.unreadable == {"too-short": ("tick",), "silent": ("late",)}
    assert report.notes == {
        "longer than 10 s; the first 10 s are hidden": 1,
        "shorter than 10 s; padded to it": 1,
    }
    for note in report.notes:
        assert any(note in each for each in run.notes)


def test_the_cleaned_list_is_the_same_needle_set(tmp_path: Path, mixed: NeedleSet) -> None:
    report = verify(mixed, 16_000)
    (tmp_path / "lists").mkdir()
    write_clean_list(tmp_path / "lists" / "clean.csv", mixed, report.readable_ids)
    text = (tmp_path / "lists" / "clean.csv").read_text()
    assert str(tmp_path) not in text
    clean = load_needles(tmp_path / "lists" / "clean.csv", vocabulary=AUDIOSET)
    whole = {needle.id: needle for needle in mixed.needles}
    assert {needle.id for needle in clean.needles} == report.readable_ids
    for needle in clean.needles:
        assert needle.labels == whole[needle.id].labels
        assert needle.group == whole[needle.id].group
        assert needle.source.digest() == whole[needle.id].source.digest()
    formula = replace(mixed, needles=[replace(n, group="=1+1") for n in mixed.needles])
    write_clean_list(tmp_path / "lists" / "clean.csv", formula, report.readable_ids)
    assert ",'=1+1\n" in (tmp_path / "lists" / "clean.csv").read_text()
    latin = Needle("latin", ("/m/09x0r",), FileSource(Path("caf\udce9.wav")), "")
    with pytest.raises(NiahError, match=r"caf\\udce9\.wav: its name is no UTF-8"):
        check_clean_list(tmp_path / "x.csv", replace(mixed, needles=[*mixed.needles, latin]))
    synthetic = load_needles("synthetic", vocabulary=vocabulary("synthetic"), limit=2)
    with pytest.raises(NiahError, match="no files"):
        write_clean_list(tmp_path / "x.csv", synthetic, {n.id for n in synthetic.needles})
    with pytest.raises(NiahError, match="no clip is readable"):
        write_clean_list(tmp_path / "x.csv", mixed, ())


def test_the_command_writes_the_list_and_tells_by_its_status(
    tmp_path: Path, mixed: NeedleSet, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(mixed) == 8  # tmp_path/eval.csv
    clean = tmp_path / "clean.csv"
    data_verify(str(tmp_path / "eval.csv"), labels="", write=clean)
    assert len(clean.read_text().splitlines()) == 4
    before = (tmp_path / "eval.csv").read_bytes()
    with pytest.raises(NiahError, match="is the list itself"):
        data_verify(
            f"{tmp_path}/eval.csv", labels="", write=tmp_path / ".." / tmp_path / "eval.csv"
        )
    assert (tmp_path / "eval.csv").read_bytes() == before
    classes = tmp_path / "classes.csv"
    classes.write_text("index,mid,display_name\n0,/m/09x0r,Speech\n")
    for target, reason in (
        (classes, "is the label vocabulary"),
        (tmp_path / "list.json", "name it list.csv"),
        (tmp_path / "a.wav", "would not be read back"),
    ):
        content = target.read_bytes() if target.exists() else None
        with pytest.raises(NiahError, match=reason):
            data_verify(f"{tmp_path}/eval.csv", labels=str(classes), write=target)
        assert content == (target.read_bytes() if target.exists() else None)
    data_verify("synthetic", labels="", limit=3)
    report = capsys.readouterr().out
    assert "readable: 3" in report
    assert max(map(len, report.splitlines())) <= 80
    (tmp_path / "none.csv").write_text("path,labels\ngone.wav,/m/09x0r\n")
    with pytest.raises(typer.Exit) as status:
        data_verify(str(tmp_path / "none.csv"), labels="", write=tmp_path / "y.csv")
    assert status.value.exit_code == 1
    assert not (tmp_path / "y.csv").exists()
    assert "missing: 1 clip" in capsys.readouterr().out


def test_the_list_is_written_before_the_report_is_printed(
    tmp_path: Path, mixed: NeedleSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(mixed) == 8

    def closed(*_: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("builtins.print", closed)
    with pytest.raises(BrokenPipeError):
        data_verify(str(tmp_path / "eval.csv"), labels="", write=tmp_path / "clean.csv")
    assert len((tmp_path / "clean.csv").read_text().splitlines()) == 4


def test_a_list_that_cannot_be_written_is_refused_before_clips_are_read(
    tmp_path: Path, mixed: NeedleSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(mixed) == 8

    def read(*_: object) -> None:
        raise AssertionError("a clip was read")

    monkeypatch.setattr("niah.needles.verify.verify", read)
    with pytest.raises(NiahError, match="its clips are no files"):
        data_verify("synthetic", labels="", write=tmp_path / "clean.csv")
    with pytest.raises(NiahError, match=r"cannot write to .*not: No such file"):
        data_verify(str(tmp_path / "eval.csv"), labels="", write=tmp_path / "not" / "clean.csv")


def test_the_report_says_how_many_clips_a_run_takes_by_default(mixed: NeedleSet) -> None:
    report = verify(mixed, 16_000)
    assert "run takes" not in report.markdown()
    assert "run takes" not in replace(report, run_takes=8).markdown()
    assert "- clips: 8, readable: 3; a run takes 2 of them: --limit" in (
        replace(report, run_takes=2).markdown().replace("\n  ", " ")
    )


def test_classes_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for name in ("dog", "cat"):
        soundfile.write(tmp_path / f"{name}.wav", np.linspace(-0.5, 0.5, 16_000), 16_000)
    (tmp_path / "same.csv").write_text("index,mid,display_name\n0,dog,Same\n1,cat,Same\n")
    (tmp_path / "list.csv").write_text("path,labels\ndog.wav,dog\ncat.wav,cat\n")
    needles = load_needles(tmp_path / "list.csv", vocabulary=vocabulary(str(tmp_path / "same.csv")))
    report = verify(needles, 16_000)
    assert report.clips_per_class == {"Same (dog)": 1, "Same (cat)": 1}


def test_a_clip_without_a_recording_keeps_none_in_the_list(tmp_path: Path) -> None:
    for name in ("1", "2"):
        soundfile.write(tmp_path / f"{name}.wav", np.linspace(-0.5, 0.5, 16_000), 16_000)
    (tmp_path / "list.csv").write_text("path,labels,group\n2.wav,Speech,\n1.wav,Speech,7\n")
    needles = load_needles(tmp_path / "list.csv", vocabulary=AUDIOSET)
    write_clean_list(tmp_path / "clean.csv", needles, {"1", "2"})
    lines = (tmp_path / "clean.csv").read_text().splitlines()
    assert sorted(lines[1:]) == ["1.wav,/m/09x0r,7", "2.wav,/m/09x0r,"]


def test_synthetic() -> None:
    needles = load_needles("synthetic", vocabulary=vocabulary("synthetic"), limit=5)
    report = verify(needles, 16_000, KaldiFrontend())
    assert report.n_readable == 5
    assert report.durations_s == (10.0, 10.0, 10.0)
    assert "Audio NIAH" in report.markdown()


def test_real_audio(shared: Path) -> None:
    needles = load_needles(shared / "data" / "audioset_like", vocabulary=AUDIOSET)
    report = verify(needles, 16_000, KaldiFrontend())
    assert (report.n_readable, report.unreadable) == (6, {})
    assert report.features is not None
    assert report.features.frames == pytest.approx(6 * 998, rel=0.01)


def test_paths_of_windows_are_told_how_to_be_written(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("path,labels\nsub\\a.wav,Speech\nb.wav,Speech\n")
    needles = load_needles(tmp_path / "list.csv", vocabulary=vocabulary("audioset-527"))
    report = verify(needles, 16000)
    assert sorted(report.unreadable["missing"]) == ["b", "sub\\a"]
    assert "write / in place of backslashes" in " ".join(report.markdown().split())
    assert list(report.notes.values()) == [1]
    with pytest.raises(AudioError, match=r"sub\\a\.wav: no such file: write / in place"):
        needles.needles[[each.id for each in needles.needles].index("sub\\a")].source.digest()
