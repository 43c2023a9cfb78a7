"""Public needle sets that can be fetched by name: their addresses and licences are data (`sets.toml`).

Archives are unpacked beside themselves; a ZIP in parts (`a.z01`, `a.z02`, .., `a.zip`) when all of them are there.
"""

import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from niah.errors import NiahError, nearest
from niah.needles.split_zip import open_split
from niah.system import atomic
from niah.system.download import cache_folder, fetch, sha256_of
from niah.toml_tables import build, read_toml

SETS_FILE = Path(__file__).with_name("sets.toml")
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    NotImplementedError,
    EOFError,
    RuntimeError,
    OSError,
)
LARGEST_RATIO = 200  # of an archive's unpacked size to its own: sound and text stay far below


@dataclass(frozen=True)
class FetchableSet:
    """A public set.

    Attributes:
        name: of the command line.
        title: what it is, and its paper.
        licence: of the set.
        labels: vocabulary of its labels.
        files: addresses; ZIP archives are unpacked.
        needles: what `--needles` takes, below the set's folder; "" where the files are not enough.
        then: what is left to do by hand; "" for nothing.
        sha256: of each file, where its authors publish one.
        md5: the same, where that is what they publish.
    """

    name: str
    title: str
    licence: str
    labels: str
    files: tuple[str, ...]
    needles: str = ""
    then: str = ""
    sha256: tuple[str, ...] = ()
    md5: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Return the set's folder in the cache."""
        return cache_folder() / "sets" / self.name

    @property
    def is_here(self) -> bool:
        """Return whether every file was fetched."""
        return all((self.folder / _file_name(url)).is_file() for url in self.files)


def fetchable_sets(file: Path | None = None) -> list[FetchableSet]:
    """Return the sets that can be fetched by name.

    Args:
        file: a TOML of sets instead of the package's.
    """
    table = read_toml(file or SETS_FILE, "list of sets")
    return [
        build(FetchableSet, {**each, "name": name}, f"set {name}") for name, each in table.items()
    ]


def fetch_set(name: str, note: Callable[[str], None], file: Path | None = None) -> FetchableSet:
    """Fetch a set into the cache, check it, and unpack its archives; what is there already is not fetched again.

    Args:
        name: of the set.
        note: gets each file's checksum.
        file: see `fetchable_sets`.

    Raises:
        NiahError: an unknown name, a file that cannot be fetched or has another checksum than before, a damaged
            archive, or one that unpacks to too much.
    """
    sets = {each.name: each for each in fetchable_sets(file)}
    if name not in sets:
        raise NiahError(
            f"no set is called '{name}'.{nearest(name, sets)} `niah data fetch` lists them"
        )
    chosen = sets[name]
    places = [chosen.folder / _file_name(url) for url in chosen.files]
    for number, url in enumerate(chosen.files):
        _fetch_file(chosen, number, url, places[number], note)
    reserved = {each.name for place in places for each in (place, _checksum_of(place))}
    for place in places:
        if place.suffix == ".zip":
            _unpack([*_parts(place, places), place], chosen.folder, reserved)
    return chosen


def _checksum_of(place: Path) -> Path:
    return place.with_name(f"{place.name}.sha256")


def _fetch_file(
    chosen: FetchableSet, number: int, url: str, place: Path, note: Callable[[str], None]
) -> None:
    """Fetch one file of a set; its SHA-256 is stored beside it, and the next time held against it."""
    stored = _checksum_of(place)
    stated = chosen.sha256[number] if chosen.sha256 else _read(stored)
    md5 = chosen.md5[number] if chosen.md5 else ""
    try:
        fetch(url, stated, place, md5=md5, text=place.suffix == ".csv")
    except NiahError as error:
        raise NiahError(f"{str(error).rstrip('.')}. The same command resumes") from error
    digest = stated or sha256_of(place)
    with atomic.atomic_write(stored) as stream:
        stream.write(f"{digest}\n".encode())
    note(f"{place.name}: SHA-256 {digest}")


def _read(file: Path) -> str:
    return file.read_text("ascii").strip() if file.is_file() else ""


def _file_name(url: str) -> str:
    return PurePosixPath(urlsplit(url).path).name


def _parts(archive: Path, places: Sequence[Path]) -> list[Path]:
    """Return the parts of a split archive before its `.zip`, in order; none for an archive that is whole."""
    parts = (p for p in places if p.stem == archive.stem and re.fullmatch(r"\.z\d+", p.suffix))
    return sorted(parts, key=lambda part: int(part.suffix[2:]))


def _unpack(parts: Sequence[Path], folder: Path, reserved: Collection[str]) -> None:
    """Unpack files below `folder`; names that lead out of it are refused, and so is what cannot be so large.

    Args:
        parts: of the archive, the last one its `.zip`.
        folder: of the set.
        reserved: names in it that no file of the archive may have.
    """
    archive = parts[-1]
    try:
        with _opened(parts) as packed:
            members = [each for each in packed.infolist() if not each.is_dir()]
            size = sum(each.file_size for each in members)
            if size > LARGEST_RATIO * max(sum(part.stat().st_size for part in parts), 2**20):
                raise NiahError(
                    f"{archive} unpacks to {size / 2**30:.0f} GiB: that is no set of sounds"
                )
            for member in members:
                _check_name(member.filename, archive, reserved)
                _unpack_member(packed, member, folder)
    except zipfile.BadZipFile as error:
        for part in parts:  # by its checksum a whole one would be refused
            _checksum_of(part).unlink(missing_ok=True)
        raise NiahError(f"{archive} is damaged ({error}): remove it, and fetch again") from error


@contextmanager
def _opened(parts: Sequence[Path]) -> Iterator[zipfile.ZipFile]:
    with ExitStack() as stack:
        try:
            opened = open_split(parts) if len(parts) > 1 else zipfile.ZipFile(parts[-1])
            packed = stack.enter_context(opened)
        except _DAMAGE as error:
            raise zipfile.BadZipFile(str(error)) from error
        yield packed


def _unpack_member(packed: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> None:
    place = folder / member.filename
    with atomic.one_line_os_errors(folder):
        if place.is_file() and place.stat().st_size == member.file_size:
            return
        place.parent.mkdir(parents=True, exist_ok=True)
    with atomic.atomic_write(place) as stream:
        for part in _content(packed, member):
            stream.write(part)


def _content(packed: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield a file's content in parts; what its decompressor raises is no error of the disk that is written to."""
    try:
        with packed.open(member) as source:
            while part := source.read(2**20):
                yield part
    except _DAMAGE as error:
        raise zipfile.BadZipFile(str(error)) from error


def _check_name(name: str, archive: Path, reserved: Collection[str]) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
        raise NiahError(f"{archive} has a file whose name leads out of its folder: {name!r:.80}")
    if str(path) in reserved:
        raise NiahError(f"{archive} has a file that would take the place of {name}")
