"""The version of what turns a file's bytes into samples, for the keys of what is stored of them.

A mended reader, or another libsndfile or soxr, may give other samples of the same bytes: a store that is keyed by a
file's content alone would keep the old ones for ever.
"""

import hashlib
from functools import cache
from pathlib import Path


@cache
def reader_version() -> str:
    """Return a hash of this folder's code, and the versions of libsndfile and soxr."""
    import soundfile
    import soxr

    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    decoder, resampler = soundfile.__libsndfile_version__, soxr.__libsoxr_version__
    return f"{digest.hexdigest()[:16]} libsndfile {decoder} soxr {resampler}"
