"""A `transformers` repository of the Hugging Face hub as a folder: its small files first, its weights when needed.

`config.json` is fetched by the revision's name, which settles the commit; all else is of that commit. Files lie in
huggingface_hub's own cache, so HF_HOME, HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE do what they do elsewhere. A pinned
commit that is whole in the cache makes no request.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from niah.errors import NiahError
from niah.system import plain_names
from niah.system.hub import NO_FILE, ask_timeout_s, fetch_from_hub, why_refused

CONFIG = "config.json"
_INDEX = ".index.json"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # the first that is there


@dataclass(frozen=True)
class HubFolder:
    """A repository at one commit, of which `folder` holds the files that were fetched."""

    repository: str
    commit: str
    folder: Path

    def fetch(self, file: str) -> Path:
        """Return a file, fetched if need be.

        Raises:
            NiahError: it cannot be had.
        """
        try:
            return fetch_from_hub(self.repository, file, self.commit)
        except NiahError as error:
            raise NiahError(
                f"{file} of hf:{self.repository} could not be fetched: {error}"
            ) from error


def open_repository(repository: str, revision: str) -> HubFolder:
    """Fetch a repository's config.json, and with it the commit of a revision.

    Args:
        repository: OWNER/NAME.
        revision: branch, tag or commit; "" for the default branch.

    Raises:
        NiahError: no such repository, revision or config.json, no access, or no answer.
    """
    try:
        config = fetch_from_hub(repository, CONFIG, revision)
    except NiahError as error:
        raise NiahError(f"model hf:{repository}: {_reason(error, repository, revision)}") from error
    return HubFolder(repository, config.parent.name, config.parent)


def listed(hub: HubFolder, is_whole: Callable[[Path], bool]) -> list[str]:
    """List the files of a repository; where the cached ones are whole, or the hub does not answer, those.

    Args:
        hub: the repository.
        is_whole: whether a folder has all that is needed.

    Returns:
        Paths in the repository, those with names that are safe to use here.
    """
    from huggingface_hub import HfApi, constants

    cached = [
        path.relative_to(hub.folder).as_posix() for path in hub.folder.rglob("*") if path.is_file()
    ]
    if is_whole(hub.folder) or constants.HF_HUB_OFFLINE:
        return sorted(cached)
    try:
        info = HfApi(endpoint=constants.ENDPOINT).model_info(
            hub.repository, revision=hub.commit, timeout=ask_timeout_s()
        )
    except (
        Exception
    ):  # the library's own differ with its version; what is missing is named when it is read
        return sorted(cached)
    return sorted(file.rfilename for file in info.siblings or () if _is_plain(file.rfilename))


def weight_files(names: Iterable[str]) -> tuple[str, ...]:
    """Choose a model's weights among the files of its folder: safetensors before pickles, one file before an index.

    Returns:
        The file, or the index alone (its shards are in it); () if there is none.
    """
    names = set(names)
    present = (name for weights in WEIGHTS for name in (weights, weights + _INDEX) if name in names)
    return tuple(present)[:1]


def _is_plain(name: str) -> bool:
    try:
        return bool(plain_names.relative(name, ""))
    except NiahError:
        return False


def _reason(error: NiahError, repository: str, revision: str) -> str:
    """Say in one line why config.json was not given."""
    reason = why_refused(error, repository, revision)
    if reason == NO_FILE:
        return f"it has no {CONFIG}: no model of transformers"
    advice = "Offline, give a folder of save_pretrained, or fill the cache elsewhere and set HF_HUB_OFFLINE=1"
    return reason or f"{error}. {advice}"
