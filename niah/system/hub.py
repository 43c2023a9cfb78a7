"""One file of a Hugging Face repository, through huggingface_hub's own cache.

First one short request checks that the hub answers (the library would ask six times, with waits between) and that the
answer is safe: the library names files of its cache after the server's commit and ETag, so values that are no plain
names are refused. A busy hub (429, 503 and the like) is asked again twice.
"""

import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Literal, TypeVar

from niah.errors import NiahError
from niah.system import transfer
from niah.system.deadline import within
from niah.system.plain_names import below

Kind = Literal["model", "dataset"]
T = TypeVar("T")

NO_FILE = "it has no such file"
_PATIENCE_S = 4.0  # for an answer, the look-up of the name included, where HF_HUB_ETAG_TIMEOUT does not say otherwise
_SHA256 = re.compile(r"[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_ETAG = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]*(\.[0-9A-Za-z_-]+)*")


def fetch_from_hub(repository: str, file: str, revision: str, kind: Kind = "model") -> Path:
    """Return a file in the library's cache, fetched if need be; if the hub does not answer, the cached file.

    Args:
        repository: OWNER/NAME.
        file: its path in the repository.
        revision: branch, tag or commit; "" for the default branch.
        kind: "model" or "dataset".

    Returns:
        The path in the cache.

    Raises:
        NiahError: the file is not cached and cannot be fetched, or the answer would lead out of the cache.
    """
    from huggingface_hub import constants, hf_hub_download

    cache, cached = Path(constants.HF_HUB_CACHE), cached_from_hub(repository, file, revision, kind)
    if cached and (_COMMIT.fullmatch(revision) or constants.HF_HUB_OFFLINE):
        return _inside(cached, repository, kind)
    if constants.HF_HUB_OFFLINE:
        raise NiahError("HF_HUB_OFFLINE is set, and the file is not in the cache")
    try:
        patiently(lambda: within(ask_timeout_s(), lambda: _ask(repository, file, revision, kind)))
    except NiahError:
        raise
    except Exception as error:  # the library's own differ with its version: requests, httpx, ..
        if cached:
            return _inside(cached, repository, kind)
        raise NiahError(f"{constants.ENDPOINT} does not give it: {one_line(error)}") from error
    try:
        path = patiently(
            lambda: hf_hub_download(
                repository,
                file,
                repo_type=kind,
                revision=revision or None,
                endpoint=constants.ENDPOINT,
                cache_dir=cache,
                etag_timeout=ask_timeout_s(),
            )
        )
    except Exception as error:
        raise NiahError(one_line(error)) from error
    return _inside(Path(path), repository, kind)


def cached_from_hub(repository: str, file: str, revision: str, kind: Kind = "model") -> Path | None:
    """Return a file in the library's cache, without a request.

    Args:
        repository: OWNER/NAME.
        file: its path in the repository.
        revision: branch, tag or commit; "" for the default branch.
        kind: "model" or "dataset".

    Returns:
        The path; None if it is not there.
    """
    from huggingface_hub import constants, try_to_load_from_cache

    path = try_to_load_from_cache(
        repository,
        file,
        revision=revision or None,
        cache_dir=constants.HF_HUB_CACHE,
        repo_type=kind,
    )
    return Path(path) if isinstance(path, str) else None


def patiently(request: Callable[[], T]) -> T:
    """Return what a request to the hub returns; it is made again where the hub is busy.

    Args:
        request: raises the library's errors.
    """
    for wait_s in transfer.WAITS_S:
        try:
            return request()
        except Exception as error:
            if _status(error) not in transfer.BUSY:
                raise
            time.sleep(wait_s)
    return request()


def discard(path: Path) -> str:
    """Remove a damaged file of the library's cache, and return what to do now, in words.

    What it links to is removed too: the library would link to that again, and fetch nothing.
    """
    with suppress(OSError):
        stored = path.resolve()
        path.unlink()
        stored.unlink(missing_ok=True)
    return "it is removed: the same command fetches it again"


def ask_timeout_s() -> float:
    """Return the seconds that the hub has to answer: HF_HUB_ETAG_TIMEOUT where it is set."""
    from huggingface_hub import constants

    is_set = "HF_HUB_ETAG_TIMEOUT" in os.environ
    return float(constants.HF_HUB_ETAG_TIMEOUT) if is_set else _PATIENCE_S


def stored_as(path: Path) -> str:
    """Return the name of the content in the library's cache: its ETag, the SHA-256 of large files; "" for a copy."""
    return path.readlink().name if path.is_symlink() else ""


def sha256_stored_as(path: Path) -> str:
    """Return the SHA-256 that the library's cache names a file after; "" where it is another name."""
    name = stored_as(path)
    return name if _SHA256.fullmatch(name) else ""


def _ask(repository: str, file: str, revision: str, kind: Kind) -> None:
    """Request the file's metadata once, and check them.

    Raises:
        NiahError: an answer that would lead out of the cache, or to another scheme than http(s).
        Exception: no answer.
    """
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url

    url = hf_hub_url(
        repository, file, repo_type=kind, revision=revision or None, endpoint=constants.ENDPOINT
    )
    answer = get_hf_file_metadata(url, timeout=ask_timeout_s())
    whose = f"the answer of {constants.ENDPOINT} is refused"
    if not _COMMIT.fullmatch(answer.commit_hash or ""):
        raise NiahError(f"{whose}: {answer.commit_hash!r:.60} is no commit")
    if not _ETAG.fullmatch(answer.etag or ""):
        raise NiahError(f"{whose}: {answer.etag!r:.60} is no ETag to name a file after")
    if not answer.location.startswith(("https://", "http://")):
        raise NiahError(f"{whose}: it redirects to {answer.location!r:.60}")


def _inside(path: Path, repository: str, kind: Kind) -> Path:
    """Return the path if it is in the cache: in the repository's folder there, which may be a symlink."""
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    own = cache / f"{kind}s--{repository.replace('/', '--')}"
    inside = own if own.is_symlink() else cache
    return below(inside, path, "the hub's answer is refused", "remove it there")


def one_line(error: Exception) -> str:
    """Return the first line of an error, as short text that prints."""
    lines = str(error).splitlines() or [type(error).__name__]
    answer = "".join(letter if letter.isprintable() else "?" for letter in lines[0])
    return answer[:300].rstrip(". ")


def why_refused(error: BaseException, what: str, revision: str = "") -> str:
    """Return the reason of a hub's refusal in one line; "" where it did not answer.

    Args:
        error: the library's, or a `NiahError` that was raised from it.
        what: the repository, as in "datasets/OWNER/NAME".
        revision: the revision that was requested.
    """
    from huggingface_hub import constants

    cause = error.__cause__ if isinstance(error, NiahError) else error
    kinds = {kind.__name__ for kind in type(cause).__mro__}
    status = _status(cause)
    if "GatedRepoError" in kinds or status == HTTPStatus.FORBIDDEN:
        return (
            f"it is gated: ask for access at {constants.ENDPOINT}/{what}, then set HF_TOKEN to a token that may "
            "read it"
        )
    if "RevisionNotFoundError" in kinds:
        return f"it has no revision '{revision}'"
    if "RepositoryNotFoundError" in kinds or status == HTTPStatus.UNAUTHORIZED:
        return f"{constants.ENDPOINT} has no such repository (a private one needs HF_TOKEN)"
    if "RemoteEntryNotFoundError" in kinds or status == HTTPStatus.NOT_FOUND:
        return NO_FILE
    return "" if status is None else f"{constants.ENDPOINT} answers with status {status}"


def _status(error: BaseException | None) -> int | None:
    """Return the status of the answer that an error of the library is about; None without one."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return None if status is None else int(status)
