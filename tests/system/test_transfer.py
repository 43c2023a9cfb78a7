"""Transfers: resumed after a cut, abandoned when slow, one at a time for each file."""

import os
import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock, SoftFileLock

from niah.system.download import cache_folder, fetch
from tests.helpers.file_site import CONTENT, ETAG, SHA256, Content, parts, refused


@pytest.mark.parametrize(
    ("page", "limit", "message"),
    [
        ("drip", "niah.system.transfer.WINDOW_S", "too slow: "),
        ("headers", "niah.system.addresses.HEADERS_S", "no whole answer in 0.2 s"),
    ],
)
def test_a_server_that_drips_is_abandoned(
    site: Content,
    target: Path,
    monkeypatch: pytest.MonkeyPatch,
    page: str,
    limit: str,
    message: str,
) -> None:
    monkeypatch.setattr(limit, 0.2)
    begin = time.monotonic()
    assert message in refused(f"{site.url}/{page}", "", target)
    assert time.monotonic() - begin < 1
    assert parts() == []


@pytest.mark.parametrize(
    ("path", "sha256", "second"),
    [
        ("cut", SHA256, f"bytes={len(CONTENT) // 2}-"),
        ("whole", SHA256, f"bytes={len(CONTENT) // 2}-"),  # and gets all of it
        ("tagged", SHA256, f"bytes={len(CONTENT) // 2}-"),
        ("tagged", "", f"bytes={len(CONTENT) // 2}-"),
        ("cut", "", ""),  # nothing says that it is the same file still
    ],
)
def test_a_download_that_was_cut_is_gone_on_from(
    site: Content, target: Path, path: str, sha256: str, second: str
) -> None:
    told = refused(f"{site.url}/{path}", sha256, target)
    assert f"connection closed after {len(CONTENT) // 2} of {len(CONTENT)} bytes" in told
    assert parts() == (["part", "part.tag"] if second else [])
    assert fetch(f"{site.url}/{path}", sha256, target).read_bytes() == CONTENT
    assert [each[1] for each in site.requests] == ["", second]
    assert parts() == []


@pytest.mark.parametrize("path", ["tagged", "heedless"])
def test_another_file_under_the_same_address_is_not_mixed_in(
    site: Content, target: Path, path: str
) -> None:
    refused(f"{site.url}/{path}", "", target)
    site.content, site.etag = CONTENT[::-1], '"second"'
    assert fetch(f"{site.url}/{path}", "", target).read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize("path", ["cut", "elsewhere"])
def test_a_wrong_part_is_fetched_anew(site: Content, target: Path, path: str) -> None:
    refused(f"{site.url}/{path}", SHA256, target)
    (part,) = (cache_folder() / "parts").glob("*.part")
    part.write_bytes(b"x" * (len(CONTENT) // 2))
    assert fetch(f"{site.url}/{path}", SHA256, target).read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_fetched_anew(site: Content, target: Path) -> None:
    refused(f"{site.url}/cut", SHA256, target)
    (part,) = (cache_folder() / "parts").glob("*.part")
    part.write_bytes(b"x" * (len(CONTENT) + 9))
    assert fetch(f"{site.url}/cut", SHA256, target).read_bytes() == CONTENT


def test_a_whole_part_is_taken_without_asking(site: Content, target: Path) -> None:
    """Leave the part of a process that was killed before it could rename it."""
    refused(f"{site.url}/cut", SHA256, target)
    (part,) = (cache_folder() / "parts").glob("*.part")
    part.write_bytes(CONTENT)
    fetch(f"{site.url}/cut", SHA256, target)
    assert len(site.requests) == 1


def leave(name: str, *, tag: bool, days: float = 0.0) -> Path:
    """A part of another address, as a killed process leaves it."""
    folder = cache_folder() / "parts"
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{name}.part"
    part.write_bytes(b"some")
    if tag:
        (folder / f"{name}.part.tag").write_text(ETAG)
    then = time.time() - 86400 * days
    os.utime(part, (then, then))
    return part


def test_leftovers_of_killed_processes_are_swept(site: Content, target: Path) -> None:
    useless, old = leave("a", tag=False), leave("b", tag=True, days=8)
    useful, live = leave("c", tag=True), leave("d", tag=False)
    orphan = cache_folder() / "parts" / "e.part.tag"
    orphan.write_text("")
    former = target.parent / ".fetch-abc"
    former.mkdir(parents=True)
    (former / "part").write_bytes(b"x")
    os.utime(former, (0, 0))
    with FileLock(live.with_suffix(".lock")):  # another process is at it
        fetch(f"{site.url}/file", SHA256, target)
    assert [part.exists() for part in (useless, old, useful, live)] == [False, False, True, True]
    assert not orphan.exists()
    assert not former.exists()


def test_two_that_want_one_file_fetch_it_once(site: Content, target: Path) -> None:
    threads = [
        threading.Thread(target=fetch, args=(f"{site.url}/file", SHA256, target)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert target.read_bytes() == CONTENT
    assert len(site.requests) == 1


@pytest.mark.parametrize("has_locks", [True, False])
def test_who_waits_too_long_for_another_is_told(
    site: Content,
    target: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    has_locks: bool,
) -> None:
    """Where the file system has no locks, the file of a machine that died stays: it is named."""
    monkeypatch.setattr("niah.system.download.WAIT_S", 0.1)
    refused(f"{site.url}/cut", SHA256, target)
    (lock,) = (cache_folder() / "parts").glob("*.lock")
    if not has_locks:
        lock.unlink()
        monkeypatch.setattr("filelock.FileLock", SoftFileLock)
    with FileLock(lock) if has_locks else SoftFileLock(lock):
        said = refused(f"{site.url}/cut", SHA256, target)
    assert "another process has been at it" in said
    assert (f"or remove {lock}" in said) == (not has_locks)
    assert "waiting for another process" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("path", "requests", "told"),
    [
        ("busy/429/1/0", 2, ""),
        ("busy/503/2/word", 3, ""),
        ("busy/503/3/0", 3, "cannot be fetched (status 503)"),
        ("busy/429/1/86400", 1, "(status 429, to be tried again in 86400 s)"),
        ("busy/404/1/0", 1, "(status 404)"),
    ],
)
def test_a_busy_server_is_asked_again_soon(
    site: Content,
    target: Path,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    requests: int,
    told: str,
) -> None:
    monkeypatch.setattr("niah.system.transfer.WAITS_S", (0.0, 0.0))
    if told:
        assert told in refused(f"{site.url}/{path}", SHA256, target)
    else:
        assert fetch(f"{site.url}/{path}", SHA256, target).read_bytes() == CONTENT
    assert len(site.requests) == requests
    assert parts() == []


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("range", "the server gives a part that was not requested"),
        ("packed", "the server packs it (gzip), though it was not asked to"),
        ("lengths", "the server states several lengths"),
        ("endless", "more than 0 GiB, and no end stated"),
    ],
)
def test_an_answer_that_is_not_the_whole_file_is_never_taken_for_it(
    site: Content, target: Path, monkeypatch: pytest.MonkeyPatch, path: str, told: str
) -> None:
    """Where no checksum would tell."""
    monkeypatch.setattr("niah.system.transfer.MOST_UNSTATED_BYTES", 1000)
    assert told in refused(f"{site.url}/{path}", "", target)
    assert not target.exists()


def test_a_range_that_ends_early_is_no_end(
    site: Content, target: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    refused(f"{site.url}/torn", "", target)
    half = len(CONTENT) // 2
    told = refused(f"{site.url}/torn", "", target)
    assert f"the server gave {half + 10} of {len(CONTENT)} bytes" in told
    assert not target.exists()
    assert capfd.readouterr().err == ""  # a log has a line a minute, and no empty ones
