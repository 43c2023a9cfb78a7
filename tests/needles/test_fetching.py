"""`niah data fetch`: sets from a server on this machine, resumed, checked, unpacked within their folder."""

import hashlib
import io
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import soundfile

from niah.cli import main
from niah.errors import NiahError
from niah.needles import fetching
from niah.needles.fetching import FetchableSet, fetch_set, fetchable_sets
from niah.system.download import sha256_of
from niah.vocabularies import NAMES
from tests.needles.test_split_zip import split


class Server(BaseHTTPRequestHandler):
    """Files by name; the first answer for a name in `cut` ends half way."""

    files: dict[str, bytes]
    cut: set[str]
    asked: list[tuple[str, str]]

    def log_message(self, *_: Any) -> None: ...

    def do_GET(self) -> None:
        name, span = self.path.rpartition("/")[2], self.headers.get("Range", "")
        self.asked.append((name, span))
        if name not in self.files:
            self.send_error(404)
            return
        content = self.files[name]
        start = int(span.removeprefix("bytes=").rstrip("-") or 0)
        self.send_response(206 if start else 200)
        self.send_header("ETag", '"one"')
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        end = len(content)
        if name in self.cut:
            self.cut.remove(name)
            end = len(content) // 2
        with suppress(ConnectionError):
            self.wfile.write(content[start:end])


def archive(**names: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in names.items():
            file.writestr(name, content)
    return packed.getvalue()


def esc50() -> bytes:
    """ESC-50's layout with three clips of noise, which do not compress."""
    rng = np.random.default_rng(0)
    files = {}
    meta = ["filename,fold,target,category,esc10,src_file,take"]
    for number, category in ((0, "dog"), (1, "rooster"), (10, "rain")):
        name, sound = f"4-{100 + number}-A-{number}.wav", io.BytesIO()
        soundfile.write(sound, rng.normal(size=8000) * 0.1, 16000, format="WAV")
        files[f"ESC-50-master/audio/{name}"] = sound.getvalue()
        meta.append(f"{name},4,{number},{category},True,{100 + number},A")
    return archive(**files, **{"ESC-50-master/meta/esc50.csv": "\n".join(meta).encode()})


@pytest.fixture
def server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., type[Server]]]:
    """Serve files as the package's sets; the cache is empty."""
    monkeypatch.setenv("NIAH_CACHE", str(tmp_path / "cache"))
    running = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    Thread(target=running.serve_forever, daemon=True).start()
    Server.files, Server.cut, Server.asked = {}, set(), []

    def serve(
        name: str = "esc50", needles: str = "ESC-50-master", more: str = "", **files: bytes
    ) -> type[Server]:
        Server.files.update(files)
        addresses = [f"http://127.0.0.1:{running.server_port}/{each}" for each in files]
        text = (
            f'[{name}]\ntitle = "T"\nlicence = "CC BY 9"\nlabels = "esc-50"\nfiles = {addresses}\n'
        )
        (tmp_path / "sets.toml").write_text(f'{text}needles = "{needles}"\n{more}')
        monkeypatch.setattr(fetching, "SETS_FILE", tmp_path / "sets.toml")
        return Server

    yield serve
    running.shutdown()
    running.server_close()


def niah(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["niah", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_a_set_is_fetched_resumed_and_read_as_needles(
    server: Callable[..., type[Server]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    site = server(**{"master.zip": esc50()})
    site.cut.add("master.zip")
    assert niah(monkeypatch, "data", "fetch", "esc50") == 2
    assert "The same command resumes" in capsys.readouterr().err
    assert niah(monkeypatch, "data", "fetch", "esc50") == 0
    said = capsys.readouterr()
    assert "CC BY 9" in said.out
    half = len(site.files["master.zip"]) // 2
    assert site.asked == [("master.zip", ""), ("master.zip", f"bytes={half}-")]
    place = fetchable_sets()[0].folder / "master.zip"
    assert sha256_of(place) in said.err
    assert place.with_name("master.zip.sha256").read_text().strip() == sha256_of(place)
    spec = said.out.split("--needles ")[1].strip()
    assert niah(monkeypatch, "data", "verify", spec, "--labels", "esc-50") == 0
    assert "3" in capsys.readouterr().out
    assert niah(monkeypatch, "data", "fetch", "esc50") == 0  # nothing more to fetch
    assert len(site.asked) == 2
    assert niah(monkeypatch, "data", "fetch") == 0
    assert "here" in capsys.readouterr().out


def fsd50k() -> dict[str, bytes]:
    """FSD50K's layout with three clips; the sounds are an archive in parts."""
    sounds = {}
    for number in range(3):
        sound = io.BytesIO()
        soundfile.write(
            sound, np.random.default_rng(number).normal(size=4000) * 0.1, 16000, format="WAV"
        )
        sounds[f"FSD50K.eval_audio/{number}.wav"] = sound.getvalue()
    rows = "".join(f"{n},Speech,/m/09x0r\n" for n in range(3))
    truth = {"FSD50K.ground_truth/eval.csv": f"fname,labels,mids\n{rows}".encode()}
    *parts, last = split(sounds, 9000)
    names = [f"FSD50K.eval_audio.z{n:02}" for n in range(1, len(parts) + 1)]
    return {
        "FSD50K.ground_truth.zip": archive(**truth),
        **dict(zip(names, parts, strict=True)),
        "FSD50K.eval_audio.zip": last,
    }


def test_an_archive_in_parts_is_fetched_resumed_and_unpacked(
    server: Callable[..., type[Server]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    files = fsd50k()
    assert list(files)[1:] == [
        "FSD50K.eval_audio.z01", "FSD50K.eval_audio.z02", "FSD50K.eval_audio.zip"
    ]  # fmt: skip
    md5 = [hashlib.md5(content, usedforsecurity=False).hexdigest() for content in files.values()]
    site = server("fsd50k", "FSD50K.ground_truth/eval.csv", f"md5 = {md5}\n", **files)
    site.cut.add("FSD50K.eval_audio.z02")
    assert niah(monkeypatch, "data", "fetch", "fsd50k") == 2
    assert "The same command resumes" in capsys.readouterr().err
    site.files["FSD50K.eval_audio.zip"] = files["FSD50K.eval_audio.zip"][::-1]
    assert niah(monkeypatch, "data", "fetch", "fsd50k") == 2
    assert "not the expected" in capsys.readouterr().err
    site.files["FSD50K.eval_audio.zip"] = files["FSD50K.eval_audio.zip"]
    assert niah(monkeypatch, "data", "fetch", "fsd50k") == 0
    spec = capsys.readouterr().out.split("--needles ")[1].strip()
    half = len(files["FSD50K.eval_audio.z02"]) // 2
    assert [request for request in site.asked if "z0" in request[0]] == [
        ("FSD50K.eval_audio.z01", ""),
        ("FSD50K.eval_audio.z02", ""),
        ("FSD50K.eval_audio.z02", f"bytes={half}-"),
    ]
    assert niah(monkeypatch, "data", "verify", spec) == 0
    assert "3" in capsys.readouterr().out
    sound, rate = soundfile.read(fetchable_sets()[0].folder / "FSD50K.eval_audio/2.wav")
    assert (len(sound), rate) == (4000, 16000)


def test_another_file_under_the_same_name_is_not_taken(
    server: Callable[..., type[Server]],
) -> None:
    """A checksum that was stored is held against what is fetched later."""
    site = server(**{"a.zip": archive(x=b"1")})
    fetched = fetch_set("esc50", lambda _: None)
    assert (fetched.folder / "x").read_bytes() == b"1"
    (fetched.folder / "a.zip").unlink()
    site.files["a.zip"] = archive(x=b"2")
    with pytest.raises(NiahError, match="not the expected"):
        fetch_set("esc50", lambda _: None)
    assert (fetched.folder / "x").read_bytes() == b"1"


def damaged(coding: int) -> bytes:
    """An archive of noise in which a byte of the packed content is another."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", coding) as file:
        file.writestr("x", np.random.default_rng(0).bytes(5000))
    content = bytearray(packed.getvalue())
    content[300] ^= 255
    return bytes(content)


@pytest.mark.parametrize(
    "content",
    [
        *(damaged(coding) for coding in (zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)),
        archive(x=bytes(range(256)))[10:],
    ],
    ids=["stored", "bzip2", "lzma", "without its beginning"],
)
def test_a_damaged_archive_is_fetched_again_once_it_is_removed(
    server: Callable[..., type[Server]], content: bytes
) -> None:
    """The checksum of the damaged one was stored: a whole one was refused by it."""
    site = server(**{"a.zip": content})
    with pytest.raises(NiahError, match=r"a\.zip is damaged .*: remove it, and fetch again"):
        fetch_set("esc50", lambda _: None)
    site.files["a.zip"] = archive(x=b"1")
    (fetchable_sets()[0].folder / "a.zip").unlink()
    assert (fetch_set("esc50", lambda _: None).folder / "x").read_bytes() == b"1"


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"a.zip": archive(**{"a.zip": b"1"})}, "would take the place of a.zip"),
        ({"a.zip": archive(**{"a.zip.sha256": b"1"})}, "would take the place of a.zip.sha256"),
        ({"a.zip": archive(**{"x" * 300: b"1"})}, "File name too long"),
        ({"a.zip": archive(**{"../out": b"1"})}, "leads out of its folder"),
        ({"a.zip": archive(**{"/etc/x": b"1"})}, "leads out of its folder"),
        ({"a.zip": archive(x=bytes(300 * 2**20))}, "is no set of sounds"),
        ({"a.zip": b"PK\3\4" + bytes(range(256)) * 9}, "is damaged"),
        ({"a.csv": b"<!doctype html><p>sign in</p>"}, "it is a web page"),
        ({"a.zip": b"not here"}, "it is text"),
    ],
)
def test_what_is_no_set_is_refused(
    server: Callable[..., type[Server]], tmp_path: Path, files: dict[str, bytes], reason: str
) -> None:
    server(**files)
    with pytest.raises(NiahError, match=reason):
        fetch_set("esc50", lambda _: None)
    assert not (tmp_path / "out").exists()
    assert not list((tmp_path / "cache").rglob("out"))


def test_a_list_is_text_and_an_unknown_name_is_guessed(server: Callable[..., type[Server]]) -> None:
    server(needles="a.csv", **{"a.csv": b'# YTID, start, end, labels\nx, 0, 10, "/m/09x0r"\n'})
    assert (fetch_set("esc50", lambda _: None).folder / "a.csv").is_file()
    with pytest.raises(NiahError, match=r"no set is called 'esc5'.*esc50"):
        fetch_set("esc5", lambda _: None)


def test_the_packages_sets_are_whole() -> None:
    sets = fetchable_sets(Path(fetching.__file__).with_name("sets.toml"))
    names = ["esc50", "audioset-segments", "fsd50k", "fsd50k-dev", "fsd50k-labels"]
    assert [each.name for each in sets] == names
    for each in sets:
        assert isinstance(each, FetchableSet)
        assert each.licence.startswith("CC BY")
        assert each.labels in NAMES
        assert all(url.startswith("https://") for url in each.files)
        assert each.needles or each.then
        assert all(len(stated) == 32 for stated in each.md5)
        assert len(each.md5) in (0, len(each.files))
