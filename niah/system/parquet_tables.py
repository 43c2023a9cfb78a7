"""Parquet tables from strangers: a file of kilobytes may unpack to terabytes, so they are read in bounded steps."""

from pathlib import Path
from typing import TYPE_CHECKING

from niah.system.lfs_pointer import refuse_lfs_pointer

if TYPE_CHECKING:
    import pyarrow as pa

_PLAIN_BYTES = 256 << 20  # that any file may unpack to
_MOST_RATIO = 400  # of a larger table to its file: labels that repeat come to 20
_ROWS_AT_ONCE = 256


def read_parquet(file: Path) -> "pa.Table":
    """Read a table without threads, so that it can be read where none can be started.

    Args:
        file: path; opened here, for pyarrow takes no name that is not UTF-8.

    Raises:
        NiahError: it is a Git LFS pointer.
        OSError: it cannot be opened or read.
        ValueError: no Parquet file (`pyarrow.ArrowInvalid`), or one that unpacks to far more than its size.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    refuse_lfs_pointer(file)
    with file.open("rb") as stream:
        most = max(_PLAIN_BYTES, _MOST_RATIO * file.stat().st_size)
        reader = pq.ParquetFile(stream, pre_buffer=False)
        # the sizes in the footer would tell at once, but pyarrow aborts the process where its statistics are damaged
        batches, size = [], 0
        for batch in reader.iter_batches(batch_size=_ROWS_AT_ONCE, use_threads=False):
            batches.append(batch)
            size += batch.nbytes
            if size > most:
                raise ValueError(f"it unpacks to more than {most >> 20} MiB")
        return pa.Table.from_batches(batches, schema=reader.schema_arrow)
