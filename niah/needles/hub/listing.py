"""The files of a data set at one commit, and its card: requested once, then read from the cache.

A commit's files never change, so a listing that is stored needs no request. Without an answer, the commit that a branch
had last is used, or what other programs (`hf download`) put into the hub's cache.
"""

import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from niah.errors import NiahError
from niah.system import atomic, hub
from niah.system.deadline import within
from niah.system.download import cache_folder
from niah.system.plain_names import hub as hub_name
from niah.system.plain_names import relative

_COMMIT = re.compile(r"[0-9a-f]{40}")
_BEGIN_OF_COMMIT = re.compile(r"[0-9a-f]{7,40}")
_SUFFIX = ".parquet"
_CARD_KEYS = ("license", "license_name", "configs", "dataset_info")


@dataclass(frozen=True)
class Shard:
    """One Parquet file of a set; size 0 and sha256 "" where the hub does not state them."""

    path: str
    size: int = 0
    sha256: str = ""


@dataclass(frozen=True)
class Listing:
    """A set's Parquet files in path order, and what its card says of licence, configurations and classes."""

    repository: str
    commit: str
    shards: tuple[Shard, ...]
    card: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def licence(self) -> str:
        """Return the licence that the card states."""
        stated = self.card.get("license_name") or self.card.get("license")
        texts = [str(each) for each in stated] if isinstance(stated, list) else [str(stated or "")]
        text = ", ".join(filter(None, texts))
        return f"{text} (dataset card of {self.repository})" if text else "not stated by the card"


def list_dataset(repository: str, revision: str) -> Listing:
    """List a data set at a revision.

    Args:
        repository: OWNER/NAME.
        revision: branch, tag, commit or the first 7 or more digits of one; "" for the default branch.

    Raises:
        NiahError: no such set or revision, no access, or no answer and nothing in the cache.
    """
    from huggingface_hub import constants

    folder = cache_folder() / "hub" / hub_name(repository, "the data set").replace("/", "--")
    if _BEGIN_OF_COMMIT.fullmatch(revision) and (stored := _stored(folder, revision)):
        return stored
    reason = "HF_HUB_OFFLINE is set"
    if not constants.HF_HUB_OFFLINE:
        try:
            listing = hub.patiently(
                lambda: within(hub.ask_timeout_s(), lambda: _request(repository, revision))
            )
        except Exception as error:  # the library's own differ with its version
            if refusal := hub.why_refused(error, f"datasets/{repository}", revision):
                raise NiahError(f"needles hf:{repository}: {refusal}") from error
            reason = (
                f"{constants.ENDPOINT} does not answer ({hub.one_line(error).rstrip('.')}); where there is a network, "
                f"`hf download {repository} --repo-type dataset` fetches it, or give clips of your own"
            )
        else:
            _store(folder, revision, listing)
            return listing
    commit = _last_commit(folder, repository, revision)
    cached = _stored(folder, commit) or _downloaded(repository, commit) if commit else None
    if cached is None:
        raise NiahError(f"needles hf:{repository}: cannot be fetched: {reason}")
    note = f"hf:{repository} is read from the cache, as it was at commit {commit[:7]}: {reason}"
    return Listing(cached.repository, cached.commit, cached.shards, cached.card, (note,))


def _request(repository: str, revision: str) -> Listing:
    """Request the listing; a short commit that the hub does not take is looked up among the commits."""
    from huggingface_hub import HfApi, constants

    api = HfApi(endpoint=constants.ENDPOINT)
    try:
        info = api.dataset_info(
            repository, revision=revision or None, timeout=hub.ask_timeout_s(), files_metadata=True
        )
    except Exception as error:
        if type(error).__name__ != "RevisionNotFoundError" or not _BEGIN_OF_COMMIT.fullmatch(
            revision
        ):
            raise
        commits = [
            each.commit_id for each in api.list_repo_commits(repository, repo_type="dataset")
        ]
        whole = [commit for commit in commits if commit.startswith(revision)]
        if len(whole) != 1 or whole[0] == revision:
            raise
        return _request(repository, whole[0])
    if not _COMMIT.fullmatch(info.sha or ""):
        raise NiahError(
            f"the answer of {constants.ENDPOINT} is refused: {info.sha!r:.60} is no commit"
        )
    files = (
        Shard(file.rfilename, int(file.size or 0), str(getattr(file.lfs, "sha256", "") or ""))
        for file in info.siblings or ()
    )
    card: Mapping[str, Any] = vars(info.card_data) if info.card_data is not None else {}
    return _listing(repository, str(info.sha), files, card)


def _listing(
    repository: str, commit: str, files: Iterable[Shard], card: Mapping[str, Any]
) -> Listing:
    """Keep the Parquet files whose names are safe to use here, and the keys of the card that are read."""
    shards = []
    for file in files:
        with suppress(NiahError):
            relative(file.path, "")
            if file.path.endswith(_SUFFIX):
                shards.append(file)
    read = {key: card[key] for key in _CARD_KEYS if card.get(key)}
    return Listing(repository, commit, tuple(sorted(shards, key=lambda each: each.path)), read)


def _store(folder: Path, revision: str, listing: Listing) -> None:
    """Store a listing, and the commit of a branch; a cache that cannot be written is left."""
    content = json.loads(json.dumps(asdict(listing), default=str))
    with suppress(NiahError, OSError):
        folder.mkdir(parents=True, exist_ok=True)
        atomic.write_json(folder / f"{listing.commit}.json", content)
        refs = folder / "refs.json"
        known = atomic.read_json(refs) if refs.is_file() else {}
        atomic.write_json(refs, {**known, revision: listing.commit})


def _stored(folder: Path, begin: str) -> Listing | None:
    """Return the stored listing of a commit that begins so."""
    files = sorted(folder.glob(f"{begin}*.json"))
    with suppress(NiahError, OSError, TypeError, KeyError):
        if len(files) == 1:
            content = atomic.read_json(files[0])
            shards = [Shard(**each) for each in content["shards"]]
            return _listing(content["repository"], content["commit"], shards, content["card"])
    return None


def _last_commit(folder: Path, repository: str, revision: str) -> str:
    """Return the commit that a revision had last on this machine; "" if it was never here."""
    refs = folder / "refs.json"
    with suppress(NiahError, OSError):
        if refs.is_file() and _COMMIT.fullmatch(str(atomic.read_json(refs).get(revision, ""))):
            return str(atomic.read_json(refs)[revision])
    place = _library_folder(repository)
    if _BEGIN_OF_COMMIT.fullmatch(revision):
        commits = [path.name for path in (place / "snapshots").glob(f"{revision}*")]
        return commits[0] if len(commits) == 1 else ""
    with suppress(OSError):
        commit = (place / "refs" / (revision or "main")).read_text("ascii").strip()
        return commit if _COMMIT.fullmatch(commit) else ""
    return ""


def _downloaded(repository: str, commit: str) -> Listing | None:
    """Return the listing of what the hub's own cache has of a commit; None if that is nothing."""
    from huggingface_hub import DatasetCard

    snapshot = _library_folder(repository) / "snapshots" / commit
    paths = [path.relative_to(snapshot).as_posix() for path in snapshot.rglob(f"*{_SUFFIX}")]
    card: Mapping[str, Any] = {}
    with suppress(OSError, ValueError):
        card = vars(DatasetCard.load(snapshot / "README.md").data)
    return _listing(repository, commit, map(Shard, paths), card) if paths else None


def _library_folder(repository: str) -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"datasets--{repository.replace('/', '--')}"
