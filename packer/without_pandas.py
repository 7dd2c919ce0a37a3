"""Arrow without pandas, in processes of our own.

The first Python list that Arrow takes has it import pandas where that is installed, to see whether the list is a
Series. That took a good part of a command's start and of each worker's, for nothing that is used here.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec


class _NoPandas:
    """A finder that is asked first, and says of pandas that there is none. A None in `sys.modules` confuses Arrow."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: object = None) -> ModuleSpec | None:
        if name == "pandas":
            raise ModuleNotFoundError("pandas is left out of this process", name=name)
        return None


def leave_pandas_out() -> None:
    """Have imports of pandas fail in this process as if it were not installed, unless it is loaded already."""
    if _NoPandas not in sys.meta_path:
        sys.meta_path.insert(0, _NoPandas)


def let_pandas_in() -> None:
    """Take that back, for a library that cannot do without."""
    if _NoPandas in sys.meta_path:
        sys.meta_path.remove(_NoPandas)
