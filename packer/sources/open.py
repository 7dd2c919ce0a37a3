"""The door to every kind of source."""

from __future__ import annotations

import os
import re
from urllib.parse import unquote

from packer.errors import SourceError
from packer.sources.folder import list_folder
from packer.sources.items import Listing, SourceSpec
from packer.sources.listing import list_listing
from packer.sources.tables import LISTING_SUFFIXES, find_kind


def list_source(spec: SourceSpec) -> Listing:
    """List what `spec.source` holds: a folder of images, a listing file, or a folder of Parquet files.

    The same source gives the same table, in whatever order its files and rows are found.

    Raises:
        SourceError: no such source, nothing in it, or something in it that is not as it must be.
    """
    path = _parse_path(spec.source)
    if not os.path.exists(path):
        raise SourceError(f"{spec.source}: no such file or folder")
    if os.path.isdir(path):
        files = _find_parquet_files(path)
        return list_listing(spec, files, root=path) if files else list_folder(spec, path)
    if find_kind(path) is None:
        raise SourceError(
            f"{spec.source}: not a kind of source; expected a folder, or a listing named {', '.join(LISTING_SUFFIXES)}"
        )
    return list_listing(spec, [path], root=os.path.dirname(path))


def _parse_path(source: str) -> str:
    if source.startswith("file://"):
        source = unquote(source.removeprefix("file://"))
    elif re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", source):
        raise SourceError(f"{source}: not a local source; expected a folder or a listing on this machine")
    return os.path.abspath(source)


def _find_parquet_files(folder: str) -> list[str]:
    """Return the Parquet files of a folder that holds nothing else (but hidden files and ``_SUCCESS`` and its like)."""
    files = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith((".", "_")) and not entry.is_dir():
                    continue
                if not entry.name.lower().endswith(".parquet") or not entry.is_file():
                    return []
                files.append(entry.path)
    except OSError as error:
        raise SourceError(f"{folder}: cannot be read ({error.strerror})") from None
    return sorted(files)
