"""Sizes of the files that a listing names."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from packer.errors import SourceError

MISSING = -1
"""Stands for the size of a key where there is no file, or something else than a file."""

_CHUNK_KEYS = 16_384
_NUM_THREADS = 8
"""Threads hide the latency of a network file system; on a local disk they neither help nor hurt."""


def load_sizes(root: str, keys: pa.ChunkedArray) -> pa.Array:
    """Return the bytes of each file below `root` as int64, or MISSING; links are followed.

    Raises:
        SourceError: a root that is no folder, or a file that cannot be asked about (no permission, a failing disk).
    """
    try:
        folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise SourceError(
            f"{root}: cannot be read as a folder ({error.strerror}); give the folder with `root`"
        ) from None
    try:
        chunks = [keys.slice(start, _CHUNK_KEYS) for start in range(0, len(keys), _CHUNK_KEYS)]
        with ThreadPoolExecutor(_NUM_THREADS) as pool:
            sizes = list(pool.map(lambda chunk: _load_chunk(folder, chunk), chunks))
    except OSError as error:
        raise SourceError(
            f"{os.path.join(root, error.filename or '')}: cannot be read ({error.strerror}); mend it or its row"
        ) from None
    finally:
        os.close(folder)
    return pa.chunked_array(sizes, pa.int64())


def _load_chunk(folder: int, keys: pa.ChunkedArray) -> pa.Array:
    return pa.array([_load_size(folder, key) for key in keys.to_pylist()], pa.int64())


def _load_size(folder: int, key: str) -> int:
    # Relative to the open folder, so that the kernel walks only the key, not the root before it.
    try:
        status = os.stat(key, dir_fd=folder)
    except (FileNotFoundError, NotADirectoryError):
        return MISSING
    return status.st_size if stat.S_ISREG(status.st_mode) else MISSING
