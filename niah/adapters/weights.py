"""Sources of a card's weights: beside the card, the cache, the Hugging Face hub, a URL, an installed package, or a
manual download.

A download shows a progress bar, is complete or absent, and is checked: against the card's sha256, else (hub) against
the checksum under which the hub stores the file. Without either, a web page or other text is refused as weights. A
connection that is silent for half a minute, or brings next to nothing for a minute, is closed.
"""

import hashlib
import re
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from niah.adapters.packaged import package_path, packaged_file
from niah.cards import ModelCard, Weights, cards_folder
from niah.errors import NiahError
from niah.system.download import cache_folder, fetch, sha256_of, why_no_binary
from niah.system.hub import cached_from_hub, discard, fetch_from_hub, stored_as
from niah.system.plain_names import below, component

_SHA256 = re.compile(r"[0-9a-f]{64}")


def resolve(card: ModelCard, name: str) -> Path:
    """Return the local file of a card's weights, fetched if need be.

    Args:
        card: the model.
        name: a key of `card.weights`.

    Returns:
        The path of the checked file.

    Raises:
        NiahError: the card has no weights, they cannot be fetched here, or the checksum differs.
    """
    if not name:
        raise NiahError(
            f"model '{card.name}' has no released weights: give --checkpoint FILE, or --checkpoint random"
        )
    weights = card.weights[name]
    if weights.package:
        return packaged_file(card, weights)
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
    """Return instructions for weights that no program can fetch."""
    weights = card.weights[name]
    path = local_path(card, weights)
    where = (
        f"Get {weights.file_name or 'the file'} at {weights.by_hand}; g" if weights.by_hand else "G"
    )
    return f"{where}ive it with --checkpoint" + (f", or put it at {path}" if path else "")


def origin(weights: Weights) -> str:
    """Return the source of weights: "embedded", "hub", "address", "package" or "by hand"."""
    kinds = {
        "embedded": weights.file,
        "hub": weights.hub,
        "address": weights.url,
        "package": weights.package,
    }
    return next((kind for kind, place in kinds.items() if place), "by hand")


def local_path(card: ModelCard, weights: Weights) -> Path | None:
    """Return the path that a file of weights has on this machine, whether it exists or not.

    Files of one name (all AuM checkpoints have the same) go into separate folders, and so do downloads of a user's card
    that has the name of a shipped one.

    Args:
        card: the model.
        weights: one of its weights.

    Returns:
        The path; None for the hub's own cache.

    Raises:
        NiahError: a name on the card that leads elsewhere.
    """
    if weights.file:
        path = card.folder / weights.file
        if _is_shipped(card):  # some installers link every file of a package
            return path
        fix = "put the file itself beside the card, or give it with --checkpoint"
        return below(card.folder, path, f"card {card.path}: key 'file'", fix)
    if weights.package:
        return package_path(weights)
    if not (weights.by_hand or weights.url):
        return None
    names = [name for name, each in card.weights.items() if _file_name(each) == _file_name(weights)]
    between = [next(name for name in names if card.weights[name] is weights)] if names[1:] else []
    for name in (card.name, *between, _file_name(weights)):  # also checked when the card is read
        component(name, f"card {card.path}: a name that becomes a file's")
    folder = cache_folder() / "weights" / _folder_name(card, weights)
    return folder.joinpath(*between, _file_name(weights))


def is_cached(card: ModelCard, name: str) -> bool:
    """Return whether `resolve` would need no network."""
    weights = card.weights[name]
    path = local_path(card, weights)
    if path is not None:
        return path.is_file()
    if weights.hub:
        return cached_from_hub(weights.hub, weights.hub_file, weights.revision) is not None
    return False


def _is_shipped(card: ModelCard) -> bool:
    """Return whether the card is one of this package's."""
    return card.folder.resolve() == cards_folder("models").resolve()


def _folder_name(card: ModelCard, weights: Weights) -> str:
    """Return the card's name; for a URL on a user's card with a hash of the URL."""
    if not weights.url or _is_shipped(card):
        return card.name
    return f"{card.name}-{hashlib.sha256(weights.url.encode()).hexdigest()[:8]}"


def _file_name(weights: Weights) -> str:
    """Return the card's file name, else the last part of the URL where that is a plain name."""
    if weights.file_name or not weights.url:
        return weights.file_name or "weights"
    try:
        return component(PurePosixPath(urlsplit(weights.url).path).name, "")
    except (NiahError, ValueError):
        return "weights"


def _from_hub(card: ModelCard, weights: Weights) -> Path:
    try:
        path = fetch_from_hub(weights.hub, weights.hub_file, weights.revision)
    except NiahError as error:
        raise NiahError(
            f"the weights of '{card.name}' ({weights.hub_file} of huggingface.co/{weights.hub}) could not be fetched: "
            f"{error}. Download the file elsewhere and give it with --checkpoint"
        ) from error
    return _checked(path, card, weights)


def _checked(path: Path, card: ModelCard, weights: Weights) -> Path:
    """Return the path if the file has the card's checksum, or the one that the hub's cache named it after."""
    named = stored_as(path) if weights.hub else ""
    expected = weights.sha256 or (named if _SHA256.fullmatch(named) else "")
    if expected and (actual := sha256_of(path)) != expected:
        whose = f"the card of '{card.name}'" if weights.sha256 else "what the hub names it after"
        what_now = "remove the file and try again"
        if _SHA256.fullmatch(named) and actual != named:
            what_now = discard(path)
        if weights.file:
            what_now = (
                f"it is damaged or another file: make it again, or change sha256 in {card.path}"
            )
        raise NiahError(f"{path}: checksum differs from {whose}; {what_now}")
    if weights.hub and not expected and (reason := why_no_binary(path)):
        raise NiahError(f"{path}: holds no weights: {reason}; {discard(path)}")
    return path
