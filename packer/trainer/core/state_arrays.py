"""The state of a learner as arrays in one piece of bytes, of which nothing is ever run when it is read."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def write_arrays(arrays: Sequence[NDArray[Any]]) -> bytes:
    """Return arrays as an archive of NumPy."""
    content = io.BytesIO()
    named: dict[str, Any] = {f"{index:05d}": array for index, array in enumerate(arrays)}
    np.savez(content, **named)
    return content.getvalue()


def read_arrays(content: bytes) -> list[NDArray[Any]]:
    """Return what `write_arrays` was given. Raises ValueError where it cannot be read."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return [arrays[name] for name in sorted(arrays.files)]
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, KeyError) as error:
        raise ValueError(f"it cannot be read ({error})") from None
