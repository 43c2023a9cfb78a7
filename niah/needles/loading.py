"""From a user's name or path to a needle set: find the layout, read it, put it in order."""

import difflib
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

from niah.errors import NiahError, nearest
from niah.needles import hub
from niah.needles.defaults import EMBEDDED
from niah.needles.needle_set import NeedleSet
from niah.needles.readers import (
    annotations,
    ast_json,
    class_folders,
    esc50,
    fsd50k,
    json_lines,
    large_csv,
    manifest,
    parquet,
    tar_shards,
)
from niah.needles.readers import audioset_csv as google_csv
from niah.needles.readers import path_label_csv as table_csv
from niah.needles.readers import synthetic as embedded
from niah.needles.readers.rows import SHOWN, NeedleRows, Request, described
from niah.needles.readers.splits import split_of, wanted_of, without_split
from niah.needles.selection import select
from niah.system.folder_walk import files_below
from niah.system.printable import printable
from niah.system.text_tables import read_table
from niah.vocabularies import Vocabulary

_TABLES = (".csv", json_lines.SUFFIX)
_METADATA = ("metadata.csv", "metadata.jsonl")  # of Hugging Face's `audiofolder`
MOST_NAMES = 10_000  # of a folder that are compared with a misspelt one


def load_needles(
    spec: str | Path,
    *,
    vocabulary: Vocabulary,
    limit: int | None = None,
    seed: int = 0,
    broader: bool = False,
    audio_root: Path | None = None,
    strict: bool = False,
    stand_in: bool = False,
) -> NeedleSet:
    """Load a needle set by name or path, in its fixed order (`niah.needles.selection`).

    Args:
        spec: `synthetic` (the evaluation clips), `synthetic:validation`, `synthetic:train`; or a
            .json (AST, DASS), a .csv or .jsonl (path and labels; AudioSet segments; ESC-50; FSD50K; a
            manifest; annotated events), a .txt or .tsv of annotated events (Raven, Audacity, DCASE), an
            .arrow, .feather or .parquet manifest of paths and labels, a .parquet or .tar file of sounds, or a
            folder (ESC-50, FSD50K, Parquet or tar shards, one with a manifest, with metadata as Hugging Face's
            `audiofolder`, with tables of events, or a folder a class).
            `?column=value,value&column=value` after a table's path keeps those rows. Or a Parquet set of the
            Hugging Face hub, `hf:OWNER/NAME` (`niah.needles.hub`).
        vocabulary: the classes that the model scores.
        limit: take N clips, stratified; all by default.
        seed: of the order.
        broader: take labels that cover other sounds too, where a mapping is not exact.
        audio_root: folder of the audio, where a table does not stand beside it.
        strict: refuse labels outside the vocabulary and clips without a label, which are else left out and noted.
        stand_in: labels do not matter (random weights), so the embedded clips serve for any vocabulary.

    Raises:
        NiahError: nothing there, an unknown layout, a malformed row (file and line are named), or no
            clip with a label in the vocabulary. Audio files are not looked at.
    """
    if str(spec).startswith(hub.PREFIX):
        request = Request(vocabulary, broader, strict)
        return _from_hub(str(spec), request, limit, seed)
    text, filters = _parsed(str(spec))
    request = Request(vocabulary, broader, strict, audio_root, filters, stand_in=stand_in)
    if text == EMBEDDED or text.startswith(f"{EMBEDDED}:"):
        split = text.partition(":")[2] or "evaluation"
        if filters:
            raise NiahError(f"needles '{spec}': the synthetic set has no columns to filter by")
        loaded, name = embedded.read(split, request, limit), text
    else:
        path = Path(text).expanduser()
        if not path.exists():
            raise NiahError(f"needles {text}: no such file or folder.{_near(text, path)}")
        loaded, name = _read(path, request), _name(path) + described(filters)
    chosen = select(loaded.needles, limit, seed)
    return NeedleSet(name, vocabulary, chosen, loaded.licence, loaded.notes)


def _near(text: str, path: Path) -> str:
    """Return the files of like names beside `path` as a question, or the embedded set for a plain word."""
    try:
        beside = [
            each.name
            for each in islice(path.parent.iterdir(), MOST_NAMES)
            if each.name.isprintable() and not each.name.startswith(".")
        ]
    except OSError:
        beside = []
    above = text.rpartition("/")[0]
    like = difflib.get_close_matches(path.name, beside, n=3, cutoff=0.7)
    if like:
        return nearest(text, [f"{above}/{name}" if above else name for name in like])
    return nearest(text, [EMBEDDED]) if "/" not in text and "." not in text else ""


def _from_hub(spec: str, request: Request, limit: int | None, seed: int) -> NeedleSet:
    """Load a set of the hub; its name has the commit, configuration and split."""
    loaded = hub.read(spec, request, limit)
    chosen = select(loaded.rows.needles, limit, seed)
    return NeedleSet(
        loaded.pinned.short(),
        request.vocabulary,
        chosen,
        loaded.rows.licence,
        loaded.rows.notes,
        str(loaded.pinned),
    )


def _parsed(spec: str) -> tuple[str, Mapping[str, frozenset[str]]]:
    """`path?column=a,b&other=c` -> path and {column: {a, b}, other: {c}}."""
    if "?" not in spec or Path(spec).exists():
        return spec, {}
    path, _, query = spec.rpartition("?")
    filters = {}
    for part in query.split("&"):
        column, equals, values = part.partition("=")
        if not (column and equals and values):
            raise NiahError(f"needles '{spec}': '?{part}' must read ?column=value,value")
        filters[column] = frozenset(value.strip().casefold() for value in values.split(","))
    return path, filters


def _name(path: Path) -> str:
    """Name the set without the machine's folders: `esc50/manifest.csv`, or a folder's name."""
    path = path.resolve()
    return printable(path.name if path.is_dir() else f"{path.parent.name}/{path.name}")


def _read(path: Path, request: Request) -> NeedleRows:
    if path.is_dir():
        return _read_folder(path, request)
    suffix = path.suffix.lower()
    if suffix == ".json":
        return ast_json.read(path, request)
    if suffix in manifest.SUFFIXES or (suffix == ".parquet" and manifest.is_manifest(path)):
        return manifest.read(path, request)
    if suffix == ".parquet":
        return parquet.read(path, request)
    if suffix == tar_shards.SUFFIX:
        return tar_shards.read(path, request)
    if suffix == json_lines.SUFFIX:
        return json_lines.read(path, request)
    if suffix in (".csv", ".tsv", ".txt"):
        return _read_csv(path, request)
    raise NiahError(
        f"needles {path}: must be a .json, .jsonl, .csv, .arrow, .parquet or .tar file, or a folder"
    )


def _read_csv(path: Path, request: Request) -> NeedleRows:
    if (large := large_csv.read(path, request)) is not None:
        return large
    if annotations.looks_like(path):
        return annotations.read([path], request)
    if google_csv.looks_like(path):
        return google_csv.read(path, request)
    header = set(read_table(path).header)
    if header.issuperset(esc50.COLUMNS):
        return esc50.read(path, request)
    if header.issuperset(fsd50k.COLUMNS):
        return fsd50k.read(path, request)
    return table_csv.read(path, request)


def _read_folder(folder: Path, request: Request) -> NeedleRows:
    if (folder / "meta" / "esc50.csv").is_file():
        return esc50.read(folder / "meta" / "esc50.csv", request)
    if truth := fsd50k.ground_truth(folder):
        return fsd50k.read(truth, request)
    if (folder / "manifest.csv").is_file():
        return _read_csv(folder / "manifest.csv", request)
    for suffix in (*manifest.SUFFIXES, ".parquet"):
        if (folder / f"manifest{suffix}").is_file():
            return manifest.read(folder / f"manifest{suffix}", request)
    if files_below(folder, (".parquet",)):
        return parquet.read(folder, request)
    if files_below(folder, (tar_shards.SUFFIX,)):
        return tar_shards.read(folder, request)
    tables = [
        file for file in files_below(folder, annotations.SUFFIXES) if annotations.looks_like(file)
    ]
    if tables:
        return annotations.read(tables, request)
    if metadata := [file for file in files_below(folder, _TABLES) if file.name in _METADATA]:
        return _read_metadata(folder, metadata, request)
    if sounds := class_folders.sounds_of(folder):
        return class_folders.read(folder, sounds, request)
    if any(files_below(folder, (suffix,)) for suffix in manifest.SUFFIXES):
        raise NiahError(f"needles {folder}: {manifest.EMBEDDED}; a manifest is named by its file")
    raise NiahError(
        f"needles {folder}: is none of the folders known (ESC-50 with meta/esc50.csv, FSD50K with "
        "FSD50K.ground_truth/eval.csv, *.parquet or *.tar shards, a manifest.csv, tables of annotated events, "
        "a metadata.csv or metadata.jsonl, a folder a class); name a .csv or .json"
    )


def _read_metadata(folder: Path, tables: list[Path], request: Request) -> NeedleRows:
    """Read a folder of Hugging Face's `audiofolder` layout: a table of the whole, or one in each split's folder."""
    if len(tables) > 1:
        tables = wanted_of(
            {table: split_of(table, folder) for table in tables}, folder, request, "table"
        )
        request = without_split(request)
    if len(tables) > 1:
        names = ", ".join(table.relative_to(folder).as_posix() for table in tables[:SHOWN])
        raise NiahError(f"needles {folder}: has several tables ({names}, ..): name one of them")
    return _read(tables[0], request)
