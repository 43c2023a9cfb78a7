"""Where a card's weights come from: beside the card, the cache, the Hugging Face hub, an address, or a person.

Whatever is fetched shows a progress bar, comes whole or not at all, and is checked: against the card's sha256, else
(hub) against the checksum that the hub itself stores the file under. Nothing waits for ever: a connection that says
nothing for half a minute is given up.
"""

import re
from pathlib import Path

from niah.cards import ModelCard, Weights
from niah.download import cache_folder, fetch, sha256_of
from niah.errors import NiahError

_TIMEOUT_S = 30
_SHA256 = re.compile(r"[0-9a-f]{64}")


def resolve(card: ModelCard, name: str) -> Path:
    """The local file of one of a card's weights, fetched if need be.

    Raises:
        NiahError: none on the card, not to be had here, or another checksum.
    """
    if not name:
        raise NiahError(
            f"model '{card.name}' has no released weights: give --checkpoint FILE, or --checkpoint random"
        )
    weights = card.weights[name]
    path = local_path(card, weights)
    if path is not None and path.is_file():
        return _checked(path, card, weights)
    if weights.hub:
        return _from_hub(card, weights)
    if weights.url and path is not None:
        return fetch(
            weights.url,
            weights.sha256,
            path,
            instead="Download the file elsewhere and give it with --checkpoint",
        )
    raise NiahError(
        f"the weights of '{card.name}' cannot be fetched by a program. {by_hand(card, name)}"
    )


def by_hand(card: ModelCard, name: str) -> str:
    """What a person must do for weights that no program can fetch."""
    weights = card.weights[name]
    path = local_path(card, weights)
    where = (
        f"Get {weights.file_name or 'the file'} at {weights.by_hand}; g" if weights.by_hand else "G"
    )
    return f"{where}ive it with --checkpoint, or put it at {path}"


def origin(weights: Weights) -> str:
    """Where weights come from, in a word or two."""
    kinds = {"embedded": weights.file, "hub": weights.hub, "address": weights.url}
    return next((kind for kind, given in kinds.items() if given), "by hand")


def local_path(card: ModelCard, weights: Weights) -> Path | None:
    """Where the file is, or would be, on this machine; None for the hub's own cache.

    Two files of one name (AuM calls all of its checkpoints alike) lie in folders of their own.
    """
    if weights.file:
        return card.folder / weights.file
    if not (weights.by_hand or weights.url):
        return None
    names = [name for name, each in card.weights.items() if _file_name(each) == _file_name(weights)]
    folder = cache_folder() / "weights" / card.name
    if len(names) > 1:
        folder /= next(name for name in names if card.weights[name] is weights)
    return folder / _file_name(weights)


def is_cached(card: ModelCard, name: str) -> bool:
    """Whether `resolve` would need no network."""
    weights = card.weights[name]
    path = local_path(card, weights)
    if path is not None:
        return path.is_file()
    if weights.hub:
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(
            weights.hub, weights.hub_file, revision=weights.revision or None
        )
        return isinstance(found, str)
    return False


def _file_name(weights: Weights) -> str:
    return weights.file_name or Path(weights.url).name or "weights"


def _from_hub(card: ModelCard, weights: Weights) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        path = Path(
            hf_hub_download(
                weights.hub,
                weights.hub_file,
                revision=weights.revision or None,
                etag_timeout=_TIMEOUT_S,
            )
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise NiahError(
            f"the weights of '{card.name}' ({weights.hub_file} of huggingface.co/{weights.hub}) could not be fetched: "
            f"{reason}. Download the file elsewhere and give it with --checkpoint"
        ) from None
    return _checked(path, card, weights)


def _checked(path: Path, card: ModelCard, weights: Weights) -> Path:
    """The path, if its content is what the card says, or what the hub's cache named it after."""
    stored_as = path.resolve().name if weights.hub else ""
    expected = weights.sha256 or (stored_as if _SHA256.fullmatch(stored_as) else "")
    if expected and sha256_of(path) != expected:
        whose = f"the card of '{card.name}'" if weights.sha256 else "what the hub names it after"
        raise NiahError(f"{path}: checksum differs from {whose}; remove the file and try again")
    return path
