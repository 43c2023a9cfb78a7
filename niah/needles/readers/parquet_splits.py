"""The splits that the shards of a folder belong to: training and evaluation clips are not to be mixed.

The split is read from a shard's name, or else from its folder's, as on the Hugging Face hub: `bal_train00.parquet`,
`test-00000-of-00001.parquet`, `validation/0.parquet`.
"""

import re
from collections.abc import Sequence
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
    """Return the shards of the wanted split, or all where there is but one.

    Args:
        shards: all files of the set.
        folder: folder of the set.
        request: its filter `split`, if any, names the wanted split.

    Raises:
        NiahError: shards of several splits and no filter on one, or no shard of the wanted split.
    """
    splits = {shard: split_of(shard, folder) for shard in shards}
    names = sorted(set(splits.values()))
    wanted = request.filters.get(COLUMN)
    if wanted is None:
        if len(names) > 1:
            raise NiahError(
                f"{folder}: its shards are of several splits ({', '.join(names)}): choose by '?split=NAME' after the "
                "folder"
            )
        return list(shards)
    chosen = [shard for shard in shards if splits[shard] in wanted]
    if not chosen:
        raise NiahError(
            f"{folder}: no shard is of the split {', '.join(sorted(wanted))}; there are {', '.join(names)}"
        )
    return chosen
