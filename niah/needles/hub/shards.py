"""The shards of one configuration and one split of a data set.

A card's `configs` say which files are of which configuration and split. Without them, folders and file names do, as in
`balanced/test/0000.parquet` or `data/eval/00.parquet`.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any

from niah.errors import NiahError, nearest
from niah.needles.hub.listing import Listing, Shard
from niah.needles.hub.spec import HubSpec
from niah.needles.readers.splits import NO_SPLIT, split_in

DEFAULT = "default"
FOR_EVALUATION = ("test", "eval", "evaluation", "validation", "valid", "val", "dev")


@dataclass(frozen=True)
class ChosenShards:
    """The shards to read, their configuration ("" if the set has one alone) and split, and notes on the choice."""

    config: str
    split: str
    shards: tuple[Shard, ...]
    notes: tuple[str, ...] = ()


def choose_shards(listing: Listing, spec: HubSpec) -> ChosenShards:
    """Choose a configuration and a split.

    By default those that the card calls the default, and an evaluation split before any other.

    Args:
        listing: the set's files and card.
        spec: what the user chose.

    Raises:
        NiahError: no Parquet files, a name that the set lacks, or several to choose from.
    """
    where = f"needles hf:{listing.repository}"
    if not listing.shards:
        raise NiahError(
            f"{where}: has no Parquet files at commit {listing.commit[:7]}; the hub converts many sets: try "
            f"hf:{listing.repository}@refs/convert/parquet"
        )
    configs = _configs(listing)
    config = _config(configs, spec.config, _default(listing), where)
    by_split = _by_folders(listing, spec.config, where) if config is None else configs[config]
    split, note = _split(by_split, spec.split, where)
    is_named = len(configs) > 1 or (config is None and spec.config)
    return ChosenShards(
        (config or spec.config) if is_named else "", split, by_split[split], (note,) if note else ()
    )


def _configs(listing: Listing) -> dict[str, dict[str, tuple[Shard, ...]]]:
    """Return {configuration: {split: shards}} by the card; only those with Parquet files."""
    configs = {}
    for entry in _entries(listing):
        by_split: dict[str, dict[Shard, None]] = {}
        for split, pattern in _patterns(entry):
            for shard in listing.shards:
                if fnmatchcase(shard.path, pattern.replace("**/", "*")):
                    name = split or split_in(shard.path)
                    by_split.setdefault(name, {})[shard] = None
        if by_split:
            configs[str(entry.get("config_name") or DEFAULT)] = {
                name: tuple(shards) for name, shards in by_split.items()
            }
    return configs


def _default(listing: Listing) -> str:
    """Return the name of the configuration that the card calls the default, or that is called so; else ""."""
    names = [
        str(entry.get("config_name") or DEFAULT)
        for entry in _entries(listing)
        if entry.get("default")
    ]
    return next(iter(names), DEFAULT)


def _entries(listing: Listing) -> list[Mapping[str, Any]]:
    stated = listing.card.get("configs")
    return (
        [each for each in stated if isinstance(each, Mapping)] if isinstance(stated, list) else []
    )


def _patterns(entry: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Iterate over (split or "", pattern of paths) of a configuration's `data_files` and `data_dir`."""
    files = entry.get("data_files") or []
    for each in files if isinstance(files, list) else [files]:
        if isinstance(each, Mapping):
            paths = each.get("path") or []
            for path in paths if isinstance(paths, list) else [paths]:
                yield str(each.get("split") or ""), str(path)
        else:
            yield "", str(each)
    if not files and entry.get("data_dir"):
        yield "", f"{str(entry['data_dir']).strip('/')}/*"


def _config(
    configs: Mapping[str, Mapping[str, tuple[Shard, ...]]], wanted: str, default: str, where: str
) -> str | None:
    """Return the name of the configuration; None where the card has none and folders decide."""
    if not configs:
        return None
    if wanted and wanted not in configs:
        raise NiahError(
            f"{where}: has no configuration '{wanted}'.{nearest(wanted, list(configs))}"
        )
    first = next(iter(configs))
    name = wanted or (default if default in configs else first)
    if not wanted and len(configs) > 1 and default not in configs:
        raise NiahError(
            f"{where}: has the configurations {_listed(configs)}: choose one, as in hf:..:{first}"
        )
    return name


def _by_folders(listing: Listing, config: str, where: str) -> dict[str, tuple[Shard, ...]]:
    """Return {split: shards} by paths; of a configuration, those with a folder of its name."""
    shards = [
        shard
        for shard in listing.shards
        if not config or config in PurePosixPath(shard.path).parts[:-1]
    ]
    if not shards:
        folders = {
            part for shard in listing.shards for part in PurePosixPath(shard.path).parts[:-1]
        }
        raise NiahError(
            f"{where}: has no configuration '{config}'; its folders are {_listed(sorted(folders)) or '(none)'}"
        )
    by_split: dict[str, list[Shard]] = {}
    for shard in shards:
        by_split.setdefault(split_in(shard.path), []).append(shard)
    return {name: tuple(each) for name, each in by_split.items()}


def _split(by_split: Mapping[str, tuple[Shard, ...]], wanted: str, where: str) -> tuple[str, str]:
    """Return the split's name in `by_split`, and a note on the choice or ""."""
    if wanted:
        if wanted in by_split:
            return wanted, ""
        alike = [
            name
            for name, shards in by_split.items()
            if all(wanted in (split_in(s.path), *PurePosixPath(s.path).parts) for s in shards)
        ]
        if len(alike) == 1:  # a folder's name, where the card has another
            return alike[0], ""
        raise NiahError(f"{where}: has no split '{wanted}'; it has {_listed(by_split)}")
    if len(by_split) == 1:
        return next(iter(by_split)), ""
    for name in FOR_EVALUATION:
        if name in by_split:
            return (
                name,
                f"of the splits {_listed(by_split)} of {where.split()[-1]}, '{name}' is taken",
            )
    raise NiahError(
        f"{where}: has the splits {_listed(by_split)}: choose one, as in hf:../{next(iter(by_split))}"
    )


def name_of(split: str) -> str:
    """Return a split's name for a spec: "" where the set has none."""
    return "" if split == NO_SPLIT else split


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
