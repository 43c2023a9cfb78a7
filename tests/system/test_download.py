"""Downloads: into the cache alone, whole or not at all, checked."""

from pathlib import Path

import pytest

from niah.errors import NiahError
from niah.plots import matplotlib_folder
from niah.system import download, kernel_cache
from niah.system.download import cache_folder, fetch
from niah.system.kernel_cache import CacheFolderLocator
from tests.helpers.file_site import CONTENT, SHA256, Content, parts, refused


def test_fetch_verifies_and_keeps(site: Content, target: Path) -> None:
    assert fetch(f"{site.url}/file", SHA256, target).read_bytes() == CONTENT
    assert fetch("http://127.0.0.1:9/unreachable", SHA256, target) == target  # no second time
    target.write_bytes(b"damaged")
    assert fetch(f"{site.url}/file", SHA256.upper(), target).read_bytes() == CONTENT
    assert parts() == []


@pytest.mark.parametrize("path", ["gone", "file"])
def test_fetch_leaves_nothing_when_it_fails(site: Content, target: Path, path: str) -> None:
    assert "Or do that instead" in refused(f"{site.url}/{path}", "0" * 64, target)
    assert parts() == []


def test_a_file_outside_of_the_cache_is_never_written(
    site: Content, target: Path, tmp_path: Path
) -> None:
    target.parent.mkdir(parents=True)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "cache" / "folder").symlink_to(tmp_path)
    target.symlink_to(victim)
    (tmp_path / "cache" / "circle").symlink_to(tmp_path / "cache" / "circle")
    for path in (
        victim,
        target,
        tmp_path / "cache" / "folder" / "victim",
        tmp_path / "cache" / ".." / "victim",
        tmp_path / "cache" / "folder" / "new",
    ):
        with pytest.raises(NiahError, match="leads out of"):
            fetch(f"{site.url}/file", SHA256, path)
    assert victim.read_text() == "precious"
    assert not (tmp_path / "new").exists()
    assert not site.requests


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container of a user id without an account, its environment cleared, ended in a traceback."""

    def unknown(*_: object, **__: object) -> Path:
        raise RuntimeError("could not determine the home directory")

    monkeypatch.delenv("NIAH_CACHE", raising=False)
    monkeypatch.setattr(download, "user_cache_path", unknown)
    with pytest.raises(NiahError, match="set NIAH_CACHE to a folder, or HOME"):
        cache_folder()
    assert CacheFolderLocator.from_function(unknown, __file__) is None
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    assert "UserWideCacheLocator" not in {place.__name__ for place in kernel_cache._numbas_own()}
    assert matplotlib_folder._in_cache() is None


def test_a_cache_that_is_itself_a_link_is_taken(
    site: Content, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "cache").symlink_to(tmp_path / "disk")
    monkeypatch.setenv("NIAH_CACHE", str(tmp_path / "cache"))
    assert fetch(f"{site.url}/file", SHA256, tmp_path / "cache" / "a" / "b").is_file()


def test_a_cache_that_cannot_be_written_is_named_with_the_fix(
    site: Content, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had read as if the server did not give the file."""
    (tmp_path / "file").touch()
    cache = tmp_path / "file" / "cache"
    monkeypatch.setenv("NIAH_CACHE", str(cache))
    with pytest.raises(NiahError) as caught:
        fetch(f"{site.url}/file", SHA256, cache / "folder" / "name")
    assert str(caught.value).startswith(f"cannot write to {tmp_path / 'file'}")
    assert "NIAH_CACHE=FOLDER names another" in str(caught.value)


@pytest.mark.parametrize(
    "path", ["length/abc", "length/-5", "length/99999999999999999", "chunked", "noise"]
)
@pytest.mark.parametrize("sha256", ["", SHA256])
def test_a_broken_answer_is_one_line(site: Content, target: Path, path: str, sha256: str) -> None:
    assert "cannot be fetched" in refused(f"{site.url}/{path}", sha256, target)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "it is empty"),
        (b"\n<!DOCTYPE html><title>Log in</title>\xff", "it is a web page"),
        (b"<html>\xe9</html>", "it is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        (b'{"error": "not today"}', "it is text"),
    ],
)
def test_without_a_checksum_no_text_is_taken(
    site: Content, target: Path, body: bytes, told: str
) -> None:
    site.content = body
    assert told in refused(f"{site.url}/file", "", target)
    assert parts() == []
    site.content = CONTENT  # the server is right again
    assert fetch(f"{site.url}/file", "", target).read_bytes() == CONTENT
