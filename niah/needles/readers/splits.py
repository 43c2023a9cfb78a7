"""The splits that the files of a folder belong to: training and evaluation clips are not to be mixed.

The split of a shard is read from its name, or else from its folder's, as on the Hugging Face hub:
`bal_train00.parquet`, `test-00000-of-00001.parquet`, `validation/0.parquet`; that of a sound from its folders.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from niah.errors import NiahError
from niah.needles.readers.rows import Request

COLUMN = "split"  # in filters: `?split=eval`
NO_SPLIT = "(none)"
_SPLIT = re.compile(
    r"(?<![a-z])((?:bal|unbal|balanced|unbalanced)_train|train|training|validation|valid|val|dev|eval|evaluation|test)"
    r"(?![a-z])"
)


def split_of(shard: Path, folder: Path) -> str:
    """Return the split named in a shard's path below `folder`; "(none)" if none is.

    Args:
        shard: a file.
        folder: folder of the set.
    """
    return split_in(shard.relative_to(folder).as_posix())


def split_in(path: str) -> str:
    """Return the split named in a shard's relative path: the file's name first; `NO_SPLIT` if none is."""
    parts = PurePosixPath(path).with_suffix("").parts
    matches = (_SPLIT.search(part.casefold()) for part in reversed(parts))
    return next((match[1] for match in matches if match), NO_SPLIT)


def of_one_split(shards: Sequence[Path], folder: Path, request: Request) -> list[Path]:
    """Return the shards of the wanted split, or all where there is but one (`wanted_of`)."""
    return wanted_of({shard: split_of(shard, folder) for shard in shards}, folder, request, "shard")


def wanted_of(splits: Mapping[Path, str], folder: Path, request: Request, kind: str) -> list[Path]:
    """Return the files of the wanted split, or all where there is but one.

    Args:
        splits: the split of each file of the set.
        folder: folder of the set.
        request: its filter `split`, if any, names the wanted split.
        kind: of file, for messages.

    Raises:
        NiahError: files of several splits and no filter on one, or no file of the wanted split.
    """
    names = sorted(set(splits.values()))
    wanted = request.filters.get(COLUMN)
    if wanted is None:
        if len(names) > 1:
            raise NiahError(
                f"{folder}: its {kind}s are of several splits ({', '.join(names)}): choose by '?split=NAME' after the "
                "folder"
            )
        return list(splits)
    chosen = [file for file, split in splits.items() if split in wanted]
    if not chosen:
        raise NiahError(
            f"{folder}: no {kind} is of the split {', '.join(sorted(wanted))}; there are {', '.join(names)}"
        )
    return chosen


def without_split(request: Request) -> Request:
    """Return the request without its filter on the split, once files are chosen by it."""
    filters = {column: values for column, values in request.filters.items() if column != COLUMN}
    return replace(request, filters=filters)
