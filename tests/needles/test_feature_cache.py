"""The feature cache: made once, keyed by content, and never worse than none."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from niah.audio import AudioError
from niah.audio.reader_version import reader_version
from niah.errors import NiahError
from niah.frontends.kaldi import AST
from niah.needles import Needle, load_needles
from niah.needles.feature_cache import Arrays, FeatureCache, content_key
from niah.needles.needle import FileSource
from niah.training.data import stored_features, usable_clips
from niah.vocabularies import vocabulary


class Maker:
    """Makes an entry and counts how often."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> Arrays:
        self.calls += 1
        return {
            "features": np.arange(12, dtype=np.float32).reshape(3, 4),
            "rms": np.array([0.5]),
            "notes": np.array(["stereo averaged"]),
            "none": np.array([], dtype=np.str_),
        }


def equal(a: Arrays, b: Arrays) -> bool:
    return a.keys() == b.keys() and all(
        a[k].dtype == b[k].dtype and np.array_equal(a[k], b[k]) for k in a
    )


def test_an_entry_is_made_once_and_comes_back_as_it_was(tmp_path: Path) -> None:
    cache, make = FeatureCache(tmp_path / "new" / "cache"), Maker()
    first = cache.get_or_make("ab12", make)
    assert equal(cache.get_or_make("ab12", make), first)
    assert equal(first, Maker()())
    assert make.calls == 1
    cache.get_or_make("cd34", make)
    assert make.calls == 2


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied", "replaced"])
def test_a_damaged_entry_is_made_again(tmp_path: Path, damage: str) -> None:
    cache, make = FeatureCache(tmp_path), Maker()
    first = cache.get_or_make("ab12", make)
    path = cache.path("ab12")
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[content.index(np.arange(12, dtype=np.float32).tobytes()) + 5] ^= 255
    contents = {"cut": bytes(content[: len(content) // 2]), "emptied": b"", "replaced": b"text"}
    path.write_bytes(contents.get(damage, bytes(content)))
    assert equal(cache.get_or_make("ab12", make), first)
    assert make.calls == 2
    assert equal(cache.get_or_make("ab12", make), first)
    assert make.calls == 2


def test_no_flipped_byte_is_read_as_something_else(tmp_path: Path) -> None:
    cache, make = FeatureCache(tmp_path), Maker()
    first = cache.get_or_make("ab12", make)
    path = cache.path("ab12")
    content = path.read_bytes()
    for at in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[at] ^= 255
        path.write_bytes(bytes(damaged))
        result = cache.get_or_make("ab12", make)
        assert equal(result, first)


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path)

    def broken() -> Arrays:
        raise NiahError("no")

    with pytest.raises(NiahError):
        cache.get_or_make("ab12", broken)
    assert cache.size_bytes() == 0
    assert not list(tmp_path.rglob("*.*"))


def test_size_and_clear(tmp_path: Path) -> None:
    cache, make = FeatureCache(tmp_path), Maker()
    assert (cache.size_bytes(), cache.clear()) == (0, 0)
    for key in ("ab12", "ab34", "cd56"):
        cache.get_or_make(key, make)
    assert cache.size_bytes() == sum(f.stat().st_size for f in tmp_path.rglob("*.features"))
    assert cache.clear() == 3
    assert cache.size_bytes() == 0


def test_a_cache_that_cannot_be_written_computes_its_entries(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache, maker = FeatureCache(tmp_path / "file"), Maker()
    for _ in range(2):
        assert set(cache.get_or_make("ab12", maker)) == set(maker())
    assert cache.problem == f"cannot write to {tmp_path / 'file'}"


def test_keys_follow_the_content_and_not_the_name(tmp_path: Path) -> None:
    def needle(name: str, frequency_hz: float) -> Needle:
        x = np.sin(2 * np.pi * frequency_hz * np.arange(1600) / 16_000)
        soundfile.write(tmp_path / name, x, 16_000)
        return Needle(name, ("a",), FileSource(tmp_path / name))

    def key(name: str, frequency_hz: float, *parts: str) -> str:
        return content_key(needle(name, frequency_hz).source.digest(), *parts)

    first = key("a.wav", 440, "frontend", "surround")
    assert key("b.wav", 440, "frontend", "surround") == first
    assert key("a.wav", 441, "frontend", "surround") != first
    assert key("a.wav", 440, "frontend", "mix") != first
    assert key("a.wav", 440, "other", "surround") != first
    (tmp_path / "a.wav").unlink()
    with pytest.raises(AudioError, match="no such file"):
        FileSource(tmp_path / "a.wav").digest()


@pytest.mark.parametrize("library", ["libsndfile", "libsoxr"])
def test_keys_follow_what_reads_the_sound(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    """A mended reader of MP3s went on with the half that an earlier version had read of one."""
    needles = load_needles("synthetic", vocabulary=vocabulary("synthetic"), limit=1)

    def keys() -> list[str]:
        reader_version.cache_clear()
        stored = stored_features.content_key(needles, AST), usable_clips._key(needles, AST)
        return [content_key("digest", "frontend"), *stored]

    before = keys()
    with monkeypatch.context() as patch:
        module = soundfile if library == "libsndfile" else soxr
        patch.setattr(module, f"__{library}_version__", "another")
        assert not set(keys()) & set(before)
    assert keys() == before


def test_synthetic_clips_have_keys_without_being_made() -> None:
    needles = load_needles("synthetic", vocabulary=vocabulary("synthetic"), limit=20)
    assert len({content_key(each.source.digest(), "frontend") for each in needles.needles}) == 20
