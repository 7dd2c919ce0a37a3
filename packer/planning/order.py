"""The one order of items: by sha256(seed, key), ties by key. It depends on nothing else.

    digest = sha256( str(seed) in ASCII + one zero byte + key in UTF-8 )

Spark computes the same with ``sha2(concat(lit(seed), lit(chr(0)), key), 256)``, whose hex text sorts as the bytes do.
"""

from __future__ import annotations

import hashlib
import itertools

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_KEYS_PER_STEP = 1 << 16


def hash_order(keys: pa.ChunkedArray | pa.Array, *, seed: int) -> npt.NDArray[np.int64]:
    """Return the permutation that puts `keys` (strings, unique) into hash order: entry i is the i-th item's row.

    Takes 32 bytes a key of working memory beside the result.
    """
    digests = hash_digests(keys, seed=seed)
    numbers = digests.view(">u8").reshape(-1, 4)
    # Sorting by the first 8 bytes settles nearly all; lexsort settles the rest by the other numbers, then the key.
    order = np.argsort(numbers[:, 0], kind="stable")
    first = numbers[order, 0]
    if len(first) > 1 and bool((first[1:] == first[:-1]).any()):
        by_key = np.asarray(pc.sort_indices(keys), dtype=np.int64)
        key_rank = np.empty(len(by_key), dtype=np.int64)
        key_rank[by_key] = np.arange(len(by_key))
        order = np.lexsort((key_rank, numbers[:, 3], numbers[:, 2], numbers[:, 1], numbers[:, 0]))
    return order.astype(np.int64, copy=False)


def hash_digests(keys: pa.ChunkedArray | pa.Array, *, seed: int) -> npt.NDArray[np.uint8]:
    """Return the digests that `keys` are ordered by, as an array of shape (n, 32)."""
    prefix = hashlib.sha256(str(seed).encode("ascii") + b"\0")
    digests = np.empty((len(keys), 32), dtype=np.uint8)
    for start in range(0, len(keys), _KEYS_PER_STEP):
        texts = pa.concat_arrays(_chunks(keys.slice(start, _KEYS_PER_STEP))).cast(pa.large_binary())
        _, offsets_buffer, data = texts.buffers()
        bounds = np.frombuffer(offsets_buffer, dtype=np.int64)[texts.offset : texts.offset + len(texts) + 1].tolist()
        view = memoryview(data if data is not None else b"")
        parts = []
        for begin, end in itertools.pairwise(bounds):
            state = prefix.copy()
            state.update(view[begin:end])
            parts.append(state.digest())
        digests[start : start + len(parts)] = np.frombuffer(b"".join(parts), dtype=np.uint8).reshape(-1, 32)
    return digests


def _chunks(keys: pa.ChunkedArray | pa.Array) -> list[pa.Array]:
    return keys.chunks if isinstance(keys, pa.ChunkedArray) else [keys]
