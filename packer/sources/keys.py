"""From the paths that a listing holds to keys: relative to the root, ``/`` between parts, never leading out of it.

Paths are worked out as text (``a/../b`` is ``b`` even where ``a`` is a link), so a key never depends on the disk.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Sequence
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc

from packer.errors import SourceError
from packer.sources.tables import NUM_EXAMPLES, RawTable

_HADOOP = "^(s3[an]://|file:/[^/])"
_UNCLEAN = r"(^|/)\.{0,2}(/|$)|:/|\x00"
"""Paths to look at one by one: empty, ``.`` or ``..`` parts (so absolute ones too), schemes, NUL."""


def common_folder(keys: pa.ChunkedArray) -> str:
    """Return the deepest folder that holds all of some keys, with its last ``/``; empty where that is the root."""
    bounds = pc.min_max(keys.cast(pa.large_binary())).as_py()
    return folder_between(bounds["min"].decode(), bounds["max"].decode())


def folder_between(first: str, last: str) -> str:
    """Return the deepest folder that holds the first and the last of some keys, so all of them; see above."""
    ends = [first.encode(), last.encode()]
    common = os.path.commonprefix(ends) or b""  # noqa: RUF071  of bytes, cut at a part's end below
    return common[: common.rfind(b"/") + 1].decode()


def clean_uris(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return paths with URIs as outside of Hadoop: ``s3a://b/x`` as ``s3://b/x``, ``file:/x`` as ``/x``."""
    if not pc.any(pc.match_substring_regex(column, _HADOOP)).as_py():
        return column
    return pc.replace_substring_regex(
        pc.replace_substring_regex(column, "^s3[an]://", "s3://"), "^file:/([^/])", r"/\1"
    )


def build_keys(raw: RawTable, name: str, root: str, *, folder: str = "", may_repeat: bool = False) -> pa.ChunkedArray:
    """Return the column `name` as keys below `root` (an absolute folder), in the order of the rows, each once.

    A path that leads out of the root with ``..`` starts from the listing's own `folder`, as an absolute path or URI,
    where that is given and brings it below the root.

    Raises:
        SourceError: a missing, foreign or repeated path, with the lines of the first few.
    """
    column = raw.table.column(name)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise SourceError(f"{raw.name}: column {name!r} holds {column.type}; expected paths as text")
    column = column.cast(pa.large_string())
    if column.null_count:
        rows = _find_true(pc.is_null(column))
        raise SourceError(f"{raw.name}: no path in column {name!r} at {raw.show(rows)}; fill it in or remove the row")
    keys = _normalise_column(raw, clean_uris(column), root, folder)
    if not may_repeat:
        _refuse_repeats(raw, keys)
    return keys


def normalise_key(path: str, roots: Sequence[str], *, folder: str = "") -> str:
    """Return `path` relative to the first of `roots` (absolute, normalised) that holds it.

    One that leads out of them with ``..`` is looked at from `folder`, unless that is empty.

    Raises:
        SourceError: what is wrong with the path, without naming it.
    """
    for root in roots:
        if "://" in root and path.startswith(root.rstrip("/") + "/"):
            path = path[len(root.rstrip("/")) + 1 :]
            break
    if path.startswith("file://"):
        path = unquote(path.removeprefix("file://").removeprefix("localhost"))
    elif bucket := re.match(r"s3://[^/]+", path):
        raise SourceError(f"is a URI of another store; for objects of that bucket give `root={bucket[0]}`")
    elif re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", path):
        raise SourceError("is a URI of another store; expected a path")
    if "\0" in path:
        raise SourceError("holds a NUL character")
    if path.startswith("/"):
        path = _strip_root(posixpath.normpath("/" + path.lstrip("/")), roots)
    key = posixpath.normpath(path)
    if key == ".":
        raise SourceError("names no file")
    if key == ".." or key.startswith("../"):
        return _from_folder(key, roots, folder)
    return key


def _from_folder(key: str, roots: Sequence[str], folder: str) -> str:
    """Return what a path with ``..`` at its front is below a root when it starts from the listing's folder."""
    scheme, separator, place = folder.rpartition("://")
    path = scheme + separator + posixpath.normpath(posixpath.join(place, key)) if folder else ""
    for root in roots:
        prefix = root.rstrip("/") + "/"
        if path.startswith(prefix):
            return path[len(prefix) :]
    raise SourceError("leads out of it")


def _strip_root(path: str, roots: Sequence[str]) -> str:
    for root in roots:
        prefix = root.rstrip("/") + "/"
        if path == root or path.startswith(prefix):
            return path[len(prefix) :]
    raise SourceError("is outside it")


def _normalise_column(raw: RawTable, column: pa.ChunkedArray, root: str, folder: str) -> pa.ChunkedArray:
    prefix = root.rstrip("/") + "/"
    below = pc.starts_with(column, prefix)
    if pc.any(below).as_py():
        # Cut where the rest is clean; the others are looked at whole, one by one, with every unclean path.
        rest = pc.binary_replace_slice(column.cast(pa.large_binary()), 0, len(os.fsencode(prefix)), b"")
        rest = rest.cast(pa.large_string())
        below = pc.and_(below, pc.invert(pc.match_substring_regex(rest, _UNCLEAN)))
        column = pc.if_else(below, rest, column)
    unclean = pc.match_substring_regex(column, _UNCLEAN)
    rows = _find_true(unclean)
    if not rows:
        return column
    keys = _normalise_rows(raw, rows, column.filter(unclean).to_pylist(), root, folder)
    return pc.replace_with_mask(column.combine_chunks(), unclean.combine_chunks(), pa.array(keys, pa.large_string()))


def _normalise_rows(raw: RawTable, rows: list[int], paths: list[str], root: str, folder: str) -> list[str]:
    roots = (root, os.path.realpath(root))
    keys: list[str] = []
    for row, path in zip(rows, paths, strict=True):
        try:
            keys.append(normalise_key(path, roots, folder=folder))
        except SourceError as error:
            raise SourceError(
                f"{raw.name}: {path!r} ({raw.locate([row])[0]}) {error}: paths start from {root}; "
                "mend the path, or give the folder with `root`"
            ) from None
    return keys


def _refuse_repeats(raw: RawTable, keys: pa.ChunkedArray) -> None:
    order = pc.sort_indices(keys)
    ordered = keys.take(order)
    num_rows = len(ordered)
    same = pc.equal(ordered.slice(1), ordered.slice(0, max(num_rows - 1, 0)))
    if not pc.any(same).as_py():
        return
    repeats = list(_group(order, ordered, _find_true(same)).items())
    shown = "; ".join(f"{key!r} at {' and '.join(raw.locate(sorted(rows)[:3]))}" for key, rows in repeats[:3])
    raise SourceError(
        f"{raw.name}: {len(repeats):,} paths appear more than once: {shown}"
        f"{'; ...' * (len(repeats) > NUM_EXAMPLES)}; keep one row of each"
    )


def _group(order: pa.Array, ordered: pa.ChunkedArray, positions: list[int]) -> dict[str, list[int]]:
    """Return the row indices of each key that stands at one of `positions` and at the next one."""
    groups: dict[str, list[int]] = {}
    for position in positions:
        rows = groups.setdefault(ordered[position].as_py(), [order[position].as_py()])
        rows.append(order[position + 1].as_py())
    return groups


def _find_true(mask: pa.ChunkedArray) -> list[int]:
    rows: list[int] = pc.indices_nonzero(mask).to_pylist()
    return rows
