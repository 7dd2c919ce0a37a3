"""The state of a learner: arrays in one byte string. Reading it never runs code, unlike pickle."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def write_arrays(arrays: Sequence[NDArray[Any]]) -> bytes:
    """Return the arrays as a NumPy .npz archive."""
    content = io.BytesIO()
    named: dict[str, Any] = {f"{index:05d}": array for index, array in enumerate(arrays)}
    np.savez(content, **named)
    return content.getvalue()


def read_arrays(content: bytes) -> list[NDArray[Any]]:
    """Return the arrays that `write_arrays` wrote, in their order. Raises ValueError if they cannot be read."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return [arrays[name] for name in sorted(arrays.files)]
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, KeyError) as error:
        raise ValueError(f"it cannot be read ({error})") from None
