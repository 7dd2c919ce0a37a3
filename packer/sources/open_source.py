"""The door to every kind of source."""

from __future__ import annotations

import os

from packer.errors import SourceError
from packer.sources.archives import ARCHIVE_SUFFIXES, find_archive_kind
from packer.sources.folder import list_archive, list_folder
from packer.sources.image_names import is_hidden
from packer.sources.inventory import MANIFEST_NAME, list_inventory
from packer.sources.items import Listing, SourceSpec
from packer.sources.listing import list_listing
from packer.sources.remote_source import list_remote
from packer.sources.tables import LISTING_SUFFIXES, find_kind
from packer.stores.open_store import absolute_uri, is_local


def list_source(spec: SourceSpec) -> Listing:
    """List what `spec.source` holds: a folder or archive of images, a listing file, or a folder of Parquet files.

    A folder or a listing may also be in a bucket or another remote place. ``manifest.json`` is one of S3 Inventory.

    ``ARCHIVE/FOLDER`` names a folder in an archive.

    The same source gives the same table, in whatever order its files and rows are found.

    Raises:
        SourceError: no such source, nothing in it, or something in it that is not as it must be.
    """
    if not is_local(spec.source):
        return list_inventory(spec) if spec.source.endswith(f"/{MANIFEST_NAME}") else list_remote(spec)
    path = absolute_uri(spec.source)
    if not os.path.exists(path):
        archive, folder = _split_archive(path)
        if not archive:
            raise SourceError(f"{spec.source}: no such file or folder")
        return list_archive(spec, archive, folder)
    if os.path.isdir(path):
        files = _find_parquet_files(path)
        return list_listing(spec, files, root=path) if files else list_folder(spec, path)
    if find_archive_kind(path):
        return list_archive(spec, path, "")
    if os.path.basename(path) == MANIFEST_NAME:
        return list_inventory(spec)
    if find_kind(path) is None:
        raise SourceError(
            f"{spec.source}: not a kind of source; expected a folder, an archive named "
            f"{' or '.join(ARCHIVE_SUFFIXES)}, or a listing named {', '.join(LISTING_SUFFIXES)} or {MANIFEST_NAME}"
        )
    return list_listing(spec, [path], root=os.path.dirname(path))


def _split_archive(path: str) -> tuple[str, str]:
    """Return the archive that a path which does not exist leads into, and the rest; empty texts if there is none."""
    archive = path
    while not os.path.lexists(archive):
        archive = os.path.dirname(archive)
    if os.path.isfile(archive) and find_archive_kind(archive):
        return archive, path[len(archive) + 1 :]
    return "", ""


def _find_parquet_files(folder: str) -> list[str]:
    """Return the Parquet files of a folder that holds nothing else.

    Hidden and system entries, and files such as ``_SUCCESS``, do not count.
    """
    files = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if is_hidden(entry.name) or (entry.name.startswith("_") and not entry.is_dir()):
                    continue
                if not entry.name.lower().endswith(".parquet") or not entry.is_file():
                    return []
                files.append(entry.path)
    except OSError as error:
        raise SourceError(f"{folder}: cannot be read ({error.strerror})") from None
    return sorted(files)
