"""One file of a Hugging Face repository, through that library's own cache.

A quick question comes first: whether the hub answers at all (the library would ask six times, with waits between), and
whether its answer can be believed. The library names files of its cache after what the server says, so a commit or an
ETag that is no plain name is refused before it does.
"""

import re
from pathlib import Path

from niah.errors import NiahError
from niah.system.plain_names import below

_COMMIT = re.compile(r"[0-9a-f]{40}")
_ETAG = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]*(\.[0-9A-Za-z_-]+)*")


def fetch_from_hub(repository: str, file: str, revision: str) -> Path:
    """The file in the library's cache, fetched if need be; without an answer from the hub, what the cache has.

    Raises:
        NiahError: not cached and not to be had, or an answer that would lead out of the cache.
    """
    from huggingface_hub import constants, hf_hub_download

    cache, cached = Path(constants.HF_HUB_CACHE), cached_from_hub(repository, file, revision)
    if cached and (_COMMIT.fullmatch(revision) or constants.HF_HUB_OFFLINE):
        return _inside(cached, repository)
    if constants.HF_HUB_OFFLINE:
        raise NiahError("HF_HUB_OFFLINE is set, and the file is not in the cache")
    try:
        _ask(repository, file, revision)
    except NiahError:
        raise
    except Exception as error:  # the library's own differ with its version: requests, httpx, ..
        if cached:
            return _inside(cached, repository)
        raise NiahError(f"{constants.ENDPOINT} does not give it: {_one_line(error)}") from error
    try:
        found = hf_hub_download(
            repository,
            file,
            revision=revision or None,
            endpoint=constants.ENDPOINT,
            cache_dir=cache,
            etag_timeout=constants.HF_HUB_ETAG_TIMEOUT,
        )
    except Exception as error:
        raise NiahError(_one_line(error)) from error
    return _inside(Path(found), repository)


def cached_from_hub(repository: str, file: str, revision: str) -> Path | None:
    """The file in the library's cache, if it is there; asks no network."""
    from huggingface_hub import constants, try_to_load_from_cache

    found = try_to_load_from_cache(
        repository, file, revision=revision or None, cache_dir=constants.HF_HUB_CACHE
    )
    return Path(found) if isinstance(found, str) else None


def stored_as(path: Path) -> str:
    """Return the name of the content in the library's cache: its ETag, the SHA-256 of large files; "" for a copy."""
    return path.readlink().name if path.is_symlink() else ""


def _ask(repository: str, file: str, revision: str) -> None:
    """Ask the hub what it has, once, and look at the answer.

    Raises:
        NiahError: an answer that would lead out of the cache, or to another scheme than http(s).
        Exception: no answer.
    """
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url

    url = hf_hub_url(repository, file, revision=revision or None, endpoint=constants.ENDPOINT)
    answer = get_hf_file_metadata(url, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    whose = f"the answer of {constants.ENDPOINT} is refused"
    if not _COMMIT.fullmatch(answer.commit_hash or ""):
        raise NiahError(f"{whose}: {answer.commit_hash!r:.60} is no commit")
    if not _ETAG.fullmatch(answer.etag or ""):
        raise NiahError(f"{whose}: {answer.etag!r:.60} is no ETag to name a file after")
    if not answer.location.startswith(("https://", "http://")):
        raise NiahError(f"{whose}: it redirects to {answer.location!r:.60}")


def _inside(path: Path, repository: str) -> Path:
    """The path, if it lies in the cache: in the repository's folder there, which may itself be a link of the user's."""
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    own = cache / f"models--{repository.replace('/', '--')}"
    inside = own if own.is_symlink() else cache
    return below(inside, path, "the hub's answer is refused", "remove it there")


def _one_line(error: Exception) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    answer = "".join(letter if letter.isprintable() else "?" for letter in lines[0])
    return answer[:300].rstrip(". ")
