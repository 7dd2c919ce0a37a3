"""Versions of installed distributions, by the names of their folders.

`importlib.metadata` parses the files in them as mails: importing it takes longer than importing an image library.
"""

from __future__ import annotations

import functools
import os
import re
import sys
from contextlib import suppress


def installed_version(name: str) -> str | None:
    """Return the version of a distribution, such as ``cykooz-resizer``; None where it is not installed as a folder."""
    pattern = re.compile(re.sub(r"[-_.]+", "[-_.]", name) + r"-([^-]+)(-py[\d.]+)?\.(dist|egg)-info", re.IGNORECASE)
    matches = (pattern.fullmatch(entry) for folder in sys.path for entry in _entries(folder))
    return next((match[1] for match in matches if match), None)


@functools.lru_cache(maxsize=32)
def _entries(folder: str) -> tuple[str, ...]:
    with suppress(OSError):  # there is no such folder, or it is a zip file
        return tuple(name for name in os.listdir(folder or ".") if name.endswith("-info"))
    return ()
