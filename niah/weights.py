"""Where a card's weights come from: beside the card, the cache, the Hugging Face hub, an address, or a person."""

from pathlib import Path

from niah.cards import ModelCard, Weights
from niah.download import cache_folder, fetch, sha256_of
from niah.errors import NiahError


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
    if weights.url:
        target = path or cache_folder() / "weights" / Path(weights.url).name
        fetch(weights.url, weights.sha256, target)
        return target
    where = (
        f" It is at {weights.by_hand} and called {weights.file_name}." if weights.by_hand else ""
    )
    raise NiahError(
        f"the weights of '{card.name}' cannot be fetched by a program.{where} Give the file with --checkpoint, "
        f"or put it at {path}"
    )


def local_path(card: ModelCard, weights: Weights) -> Path | None:
    """Where the file is, or would be, on this machine; None for the hub's own cache."""
    if weights.file:
        return card.folder / weights.file
    if weights.by_hand or weights.url:
        name = weights.file_name or Path(weights.url).name
        return cache_folder() / "weights" / card.name / name
    return None


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


def _from_hub(card: ModelCard, weights: Weights) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        path = Path(
            hf_hub_download(weights.hub, weights.hub_file, revision=weights.revision or None)
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise NiahError(
            f"the weights of '{card.name}' ({weights.hub_file} of huggingface.co/{weights.hub}) could not be fetched: "
            f"{reason}. Download the file elsewhere and give it with --checkpoint"
        ) from None
    return _checked(path, card, weights)


def _checked(path: Path, card: ModelCard, weights: Weights) -> Path:
    if weights.sha256 and sha256_of(path) != weights.sha256:
        raise NiahError(
            f"{path}: checksum differs from the card of '{card.name}'; remove the file and try again"
        )
    return path
