"""Cards: one small TOML file per checkpoint or haystack, with strings and numbers only.

The package's cards are in `<package>/cards` (a wheel), else beside the package (a checkout). A user's card is a path.
Reading cards imports nothing heavy. A card may come from a stranger: each value that becomes a file name or a URL is
checked when the card is read (`_RULES`).
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from niah.errors import NiahError, nearest
from niah.system import plain_names
from niah.toml_tables import build, read_toml

RANDOM = "random"  # as a checkpoint: no file, seeded random weights
_WEIGHTS_SUFFIXES = (".pth", ".pt", ".ckpt", ".bin", ".safetensors")
_PACKAGE = Path(__file__).resolve().parent
_RULES: Mapping[str, Callable[[str, str], str]] = {  # of [weights.KEY] and a haystack's [source]
    "file": plain_names.relative,
    "file_name": plain_names.component,
    "hub": plain_names.hub,
    "hub_file": plain_names.relative,
    "revision": plain_names.revision,
    "url": plain_names.address,
    "by_hand": plain_names.text,
    "package": plain_names.package,
    "package_file": plain_names.relative,
    "package_version": plain_names.revision,
    "member": plain_names.relative,
    "sha256": plain_names.checksum,
}


@dataclass(frozen=True)
class Weights:
    """The source of one checkpoint of a card: one of `file`, `hub`, `url`, `by_hand`, `package` is set."""

    file: str = ""  # beside the card or below: embedded weights
    hub: str = ""  # Hugging Face repository
    hub_file: str = "model.safetensors"
    revision: str = ""  # of the hub repository
    url: str = ""
    by_hand: str = ""  # a page where only a person can download it
    file_name: str = ""  # its name in the cache
    package: str = ""  # an installed Python package, by the name that is imported
    package_file: str = ""  # in the package's folder
    package_name: str = ""  # as pip names it, where that is another name
    package_version: str = ""  # that has the file, for the message where it is missing
    member: str = ""  # of `package_file`, where that is a zip archive
    sha256: str = ""
    teacher: str = ""
    note: str = ""


@dataclass(frozen=True)
class ModelCard:
    """One model, as its authors describe it."""

    name: str
    adapter: str  # import string, "package.module:Class"
    labels: str  # a vocabulary's name or a CSV file beside the card
    family: str = ""
    title: str = ""
    paper: str = ""
    licence: str = ""
    parameters: int = 0
    trained_on_s: float = 0.0
    trained_on: str = ""
    note: str = ""
    aliases: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    frontend: Mapping[str, Any] = field(default_factory=dict)  # `niah.frontends.log_mel`
    weights: Mapping[str, Weights] = field(default_factory=dict)
    published: Mapping[str, float] = field(default_factory=dict)
    training: Mapping[str, Any] = field(
        default_factory=dict
    )  # an embedded model's recipe and last log line
    path: Path = Path()

    @property
    def folder(self) -> Path:
        """Return the card's folder."""
        return self.path.parent

    @property
    def labels_source(self) -> str | Path:
        """Return the vocabulary's name, or the path of the label file beside the card."""
        is_file = self.labels.lower().endswith((".csv", ".tsv", ".txt"))
        return self.folder / self.labels if is_file else self.labels

    @property
    def fingerprint(self) -> str:
        """Hash what makes the network: adapter, configuration and labels, never the name alone."""
        text = repr((self.adapter, sorted(self.config.items()), self.labels))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class HaystackCard:
    """One haystack: what needles are hidden in."""

    name: str
    builder: str
    description: str = ""
    licence: str = ""
    origin: str = ""
    contains: tuple[str, ...] = ()  # AudioSet MIDs of the sounds in it
    source: Mapping[str, str] = field(default_factory=dict)
    path: Path = Path()


def cards_folder(kind: str) -> Path:
    """Return the folder of the package's cards of a kind, "models" or "haystacks".

    Raises:
        NiahError: no cards are installed.
    """
    for root in (_PACKAGE / "cards", _PACKAGE.parent):
        if any((root / kind).glob("*.toml")):
            return root / kind
    raise NiahError(f"no {kind} cards found beside the package at {_PACKAGE}: reinstall audio-niah")


def published_file() -> Path:
    """Return the file of published numbers, in the installed package or in the source tree beside it.

    Raises:
        NiahError: it is not installed.
    """
    for place in (_PACKAGE / "cards" / "published", _PACKAGE.parent / "results" / "published"):
        if (place / "niah.csv").is_file():
            return place / "niah.csv"
    raise NiahError("the published numbers (results/published/niah.csv) are not installed")


def model_cards() -> list[ModelCard]:
    """Read the package's model cards, by file name."""
    return [read_model_card(path) for path in sorted(cards_folder("models").glob("*.toml"))]


def haystack_cards() -> list[HaystackCard]:
    """Read the package's haystack cards, by file name."""
    return [read_haystack_card(path) for path in sorted(cards_folder("haystacks").glob("*.toml"))]


def known_models() -> dict[str, ModelCard]:
    """Read the package's model cards: each by its name and by its aliases."""
    return {name: card for card in model_cards() for name in (card.name, *card.aliases)}


def find_model(
    spec: str | Path, known: Mapping[str, ModelCard] | None = None
) -> tuple[ModelCard, str]:
    """Find a model's card and the name of its weights.

    Args:
        spec: `NAME`, `NAME:WEIGHTS`, or either with the path of a `.toml` for NAME.
        known: cards by name, where they are already read (`known_models`).

    Returns:
        The card, and a key of its `weights` ("" where it has none).

    Raises:
        NiahError: the model or its weights are unknown, or the card is wrong.
    """
    name, _, weights = (
        str(spec).partition(".toml:") if ".toml:" in str(spec) else str(spec).partition(":")
    )
    if ".toml:" in str(spec):
        name += ".toml"
    if name.endswith(".toml"):
        card = read_model_card(Path(name))
    else:
        known = known_models() if known is None else known
        if name not in known:
            raise NiahError(f"unknown model '{name}'{_model_hint(name, known)}")
        card = known[name]
    return card, check_weights_name(card, weights)


def _model_hint(name: str, known: Mapping[str, ModelCard]) -> str:
    """Return what to do about the name of a model that there is not, by what the name looks like."""
    listed = " `niah models` lists all; a card of your own is a path (docs/your-model.md)"
    similar = nearest(name, known)
    kind = Path(name).suffix.lower()
    if kind == ".onnx":
        return ". A graph needs a card that names it, see niah.adapters.onnx in docs/your-model.md"
    if kind in _WEIGHTS_SUFFIXES:
        return f". A file of weights goes with its model: --model NAME --checkpoint {name}"
    if Path(name).is_dir():
        return f". The folder has no config.json of transformers, and is no card.{listed}"
    if plain_names.is_hub(name):
        return f". A model of the Hugging Face hub is written hf:{name}.{listed}"
    return f".{similar}{listed}"


def check_weights_name(card: ModelCard, weights: str) -> str:
    """Return a key of `card.weights`: `weights`, or the first where that is "" ("" if the card has none).

    Raises:
        NiahError: the card has no such weights.
    """
    if not weights:
        return next(iter(card.weights), "")
    if weights not in card.weights:
        raise NiahError(
            f"model '{card.name}' has no weights '{weights}'.{nearest(weights, card.weights)}"
        )
    return weights


def find_haystack(name: str) -> HaystackCard:
    """Read the package's haystack card of that name.

    Raises:
        NiahError: the name is unknown; the message has the nearest.
    """
    known = {card.name: card for card in haystack_cards()}
    if name not in known:
        raise NiahError(
            f"unknown haystack '{name}'.{nearest(name, known)} A recording or a folder is given as a path"
        )
    return known[name]


def read_model_card(path: Path) -> ModelCard:
    """Read a model card.

    Raises:
        NiahError: no such file, not TOML, a key that is unknown, missing or of another type, or a name or a URL that
            is not safe to use on this machine.
    """
    table = _read_card(path)
    weights = table.pop("weights", {})
    if not isinstance(weights, dict) or not all(isinstance(w, dict) for w in weights.values()):
        raise NiahError(f"{path}: [weights.NAME] must be a table")
    parsed = {}
    for name, entry in weights.items():
        plain_names.component(name, f"card {path}: the name of [weights.NAME]")
        prefix = f"weights.{name}."
        parsed[name] = build(Weights, _safe(entry, path, prefix), f"card {path}", prefix=prefix)
    card = build(ModelCard, {**table, "weights": parsed, "path": path}, f"card {path}")
    plain_names.component(card.name, f"card {path}: key 'name'")
    return card


def read_haystack_card(path: Path) -> HaystackCard:
    """Read a haystack card.

    Raises:
        NiahError: as `read_model_card`.
    """
    table = _read_card(path)
    source = table.get("source", {})
    if isinstance(source, dict):
        for key, value in source.items():
            if key in _RULES and not isinstance(value, str):
                raise NiahError(f"card {path}: key 'source.{key}' must be str, got {value!r}")
        table = {**table, "source": _safe(source, path, "source.")}
    card = build(HaystackCard, {**table, "path": path}, f"card {path}")
    plain_names.component(card.name, f"card {path}: key 'name'")
    return card


def _safe(entry: Mapping[str, Any], path: Path, prefix: str) -> dict[str, Any]:
    """Check the texts of a table by `_RULES`; a wrong type is left for `build` to refuse."""
    return {
        key: _RULES[key](value, f"card {path}: key '{prefix}{key}'")
        if key in _RULES and isinstance(value, str)
        else value
        for key, value in entry.items()
    }


def _read_card(path: Path) -> dict[str, Any]:
    table = read_toml(path, "card")
    if "path" in table:  # a field of the dataclass, but not a key of the file
        raise NiahError(f"card {path}: unknown key 'path'")
    return table
