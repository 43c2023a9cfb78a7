"""The files of a model of `transformers`: a folder of `save_pretrained`, or a repository's at one commit."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from niah.adapters.hub_repository import CONFIG, HubFolder, weight_files
from niah.errors import NiahError
from niah.system import plain_names
from niah.system.download import sha256_of
from niah.system.hub import discard, stored_as
from niah.system.text_files import read_json

CLAP = "ClapModel"
EXTRACTORS = ("preprocessor_config.json", "processor_config.json")
TOKENIZER = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "merges.txt", "vocab.txt", "sentencepiece.bpe.model"),
)


@dataclass(frozen=True)
class TransformersFiles:
    """The files of one model, on this machine but for the weights of a repository.

    Attributes:
        name: of the rows.
        folder: of the files.
        names: of all files that the model has, on this machine or not.
        hub: the repository; None for a folder of the user's.
    """

    name: str
    folder: Path
    names: tuple[str, ...]
    hub: HubFolder | None = None

    @cached_property
    def config(self) -> dict[str, Any]:
        """config.json."""
        return self.json(CONFIG)

    @property
    def is_clap(self) -> bool:
        return CLAP in self.architectures

    @property
    def architectures(self) -> tuple[str, ...]:
        return tuple(map(str, self.config.get("architectures") or ()))

    @property
    def labels(self) -> list[str]:
        """The model's own labels, in the order of its outputs."""
        own = self.config.get("id2label") or {}
        try:
            by_index = {int(index): " ".join(str(label).split()) for index, label in own.items()}
            count = len(by_index) or int(self.config.get("num_labels") or 2)
        except (AttributeError, TypeError, ValueError):
            raise NiahError(f"model {self.name}: id2label of {CONFIG} is no table") from None
        if sorted(by_index) != list(range(len(by_index))):
            raise NiahError(f"model {self.name}: id2label of {CONFIG} must count 0, 1, 2, ..")
        return [by_index.get(index) or f"LABEL_{index}" for index in range(count)]

    @property
    def code(self) -> tuple[str, ...]:
        """The model's own Python files, if its configuration says that they are needed."""
        uses = any("auto_map" in self.json(name) for name in (CONFIG, *EXTRACTORS))
        return tuple(name for name in self.names if name.endswith(".py")) if uses else ()

    def json(self, name: str) -> dict[str, Any]:
        """Read one of the model's JSON files; {} if it has none of that name.

        Raises:
            NiahError: it is no JSON object.
        """
        if not (self.folder / name).is_file():
            return {}
        try:
            content = read_json(self.folder / name)
        except NiahError as error:
            raise NiahError(f"model {self.name}: {name} cannot be read: {error}") from error
        if not isinstance(content, dict):
            raise NiahError(f"model {self.name}: {name} is no JSON object")
        return content

    def sha256(self, names: Sequence[str]) -> str:
        """Hash small files, by name and content."""
        parts = [f"{name} {sha256_of(self.folder / name)}" for name in sorted(names)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    @property
    def small(self) -> tuple[str, ...]:
        """Names of the files that decide scores beside the weights."""
        relevant = (CONFIG, *EXTRACTORS, *(TOKENIZER if self.is_clap else ()))
        return tuple(name for name in relevant if (self.folder / name).is_file())

    @property
    def has_weights(self) -> bool:
        """Return whether all weights are on this machine."""
        return _has_weights(self.folder)

    def weights(self) -> tuple[Path, ...]:
        """Return the files of the weights, fetched if need be.

        Raises:
            NiahError: there are none, they cannot be had, or one is not what the hub names it after.
        """
        files = weight_files(self.names)
        if not files:
            raise NiahError(
                f"model {self.name}: it has no PyTorch weights (model.safetensors or pytorch_model.bin)"
            )
        paths = [self._fetched(files[0])]
        if files[0].endswith(".json"):
            where = f"model {self.name}: a file of {files[0]}"
            paths = [
                self._fetched(plain_names.component(shard, where))
                for shard in self._shards(files[0])
            ]
        return tuple(paths)

    def _shards(self, index: str) -> list[str]:
        shards = self.json(index).get("weight_map")
        if not isinstance(shards, dict) or not shards:
            raise NiahError(f"model {self.name}: {index} names no files")
        return sorted({str(shard) for shard in shards.values()})

    def _fetched(self, name: str) -> Path:
        path = self.folder / name
        if self.hub is not None and not path.is_file():
            path = self.hub.fetch(name)
        if not path.is_file():
            raise NiahError(f"model {self.name}: {path} not found")
        return path


def head_of(files: TransformersFiles) -> str:
    """Return what makes scores of the logits: "softmax" where the configuration says one label a clip, or "sigmoid"."""
    is_single = files.config.get("problem_type") == "single_label_classification"
    return "softmax" if is_single else "sigmoid"


def weights_sha256(files: TransformersFiles, paths: Sequence[Path]) -> str:
    """Hash the weights: of one file its SHA-256, of several that of all.

    Raises:
        NiahError: a file of the hub's cache is not what the hub named it after.
    """
    sums = []
    for path in paths:
        sums.append(sha256_of(path))
        named = stored_as(path) if files.hub else ""
        if len(named) == len(sums[-1]) and named != sums[-1]:
            raise NiahError(
                f"{path}: checksum differs from what the hub names it after; {discard(path)}"
            )
    return sums[0] if len(sums) == 1 else hashlib.sha256("\n".join(sums).encode()).hexdigest()


def is_whole(folder: Path) -> bool:
    """Return whether a folder of the cache needs nothing more from the hub."""
    if not any((folder / name).is_file() for name in EXTRACTORS):
        return False
    try:
        config = json.loads((folder / CONFIG).read_text())
        is_clap, has_code = CLAP in (config.get("architectures") or ()), "auto_map" in config
    except (OSError, ValueError, AttributeError):
        return False
    has_text = any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json"))
    return (
        _has_weights(folder)
        and (has_text or not is_clap)
        and (any(folder.glob("*.py")) or not has_code)
    )


def _has_weights(folder: Path) -> bool:
    files = weight_files(path.name for path in folder.iterdir())
    if not files or not files[0].endswith(".json"):
        return bool(files)
    try:
        shards = json.loads((folder / files[0]).read_text())["weight_map"].values()
    except (OSError, ValueError, KeyError, AttributeError):
        return False
    return all((folder / str(shard)).is_file() for shard in shards)
