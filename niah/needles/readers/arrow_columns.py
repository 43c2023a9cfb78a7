"""Columns of Arrow tables: their kinds, and their values as numpy and plain Arrow take them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def is_text(kind: Any) -> bool:
    """Return whether a type of Arrow's is text, dictionary-encoded or not."""
    import pyarrow.types as types

    if types.is_dictionary(kind):
        kind = kind.value_type
    return bool(types.is_string(kind) or types.is_large_string(kind))


def plain_text(column: Any) -> Any:
    """Return text that is not dictionary-encoded."""
    import pyarrow.types as types

    return column.cast(column.type.value_type) if types.is_dictionary(column.type) else column


def is_list(kind: Any) -> bool:
    """Return whether a type of Arrow's is lists of any length."""
    import pyarrow.types as types

    return bool(types.is_list(kind) or types.is_large_list(kind))


def encoded(column: Any) -> tuple[list[Any], NDArray[np.int32]]:
    """Return the different values of a column, and the place of each row's value among them."""
    by_code = column.dictionary_encode(null_encoding="encode").unify_dictionaries()
    if not by_code.num_chunks:
        return [], np.empty(0, np.int32)
    codes = [chunk.indices.to_numpy() for chunk in by_code.chunks]
    return by_code.chunk(0).dictionary.to_pylist(), np.concatenate(codes).astype(np.int32)


def one_piece(column: Any) -> Any:
    """Return a column as one Arrow array, as which places in it are taken fast."""
    import pyarrow

    if not isinstance(column, pyarrow.ChunkedArray):
        return column
    return column.chunk(0) if column.num_chunks == 1 else pyarrow.concat_arrays(column.chunks)
