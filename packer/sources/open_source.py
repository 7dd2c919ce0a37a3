"""The door to every kind of source."""

from __future__ import annotations

import contextlib
import os
import posixpath

from packer.errors import SourceError
from packer.sources.archives import ARCHIVE_SUFFIXES, find_archive_kind
from packer.sources.coco import list_coco
from packer.sources.fieldpictures import add_folder_pictures
from packer.sources.folder import list_archive, list_folder
from packer.sources.image_names import is_hidden
from packer.sources.imagerows import Spill, list_rows
from packer.sources.inventory import MANIFEST_NAME, list_inventory
from packer.sources.items import Listing, SourceSpec
from packer.sources.listing import list_listing, refuse_flat
from packer.sources.remote_source import ObjectWalk, list_remote
from packer.sources.rowfiles import RowFiles, find_row_files, is_row_file
from packer.sources.splitfolders import list_split_folders
from packer.sources.tables import LISTING_SUFFIXES, find_kind
from packer.sources.tarsamples import find_webdataset, list_webdataset
from packer.stores.open_store import absolute_uri, is_local, open_store

_ANNOTATIONS = ".json"
_ASIDE = (".md", ".json", ".txt", ".yaml", ".yml", ".py")
"""Endings of what may lie beside files of rows, as in a repository of the Hugging Face Hub."""


def list_source(spec: SourceSpec, spill: Spill | None = None) -> Listing:
    """List what `spec.source` holds: a folder or archive of images, a listing file, or Parquet and Arrow files.

    Images in the rows of files are put into `spill`, which must be given for them.

    A folder or a listing may also be in a bucket or another remote place. ``manifest.json`` is one of S3 Inventory.

    ``ARCHIVE/FOLDER`` names a folder in an archive.

    The same source gives the same table, in whatever order its files and rows are found.

    Raises:
        SourceError: no such source, nothing in it, or something in it that is not as it must be.
    """
    _refuse_packed(spec)
    listing = _list_source(spec, spill)
    return add_folder_pictures(listing, spec) if spec.fields and not listing.fields else listing


def _list_source(spec: SourceSpec, spill: Spill | None) -> Listing:
    if spec.split_folders:
        return list_split_folders(spec, list_source)
    if (tars := None if spec.flat else find_webdataset(spec)) is not None:
        return list_webdataset(spec, tars)
    if (rows := find_rows(spec)) is not None:
        refuse_flat(spec)
        return list_rows(spec, rows, spill or Spill())
    if spec.source.lower().endswith(_ANNOTATIONS) and posixpath.basename(spec.source) != MANIFEST_NAME:
        refuse_flat(spec)
        return list_coco(spec)
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


def _refuse_packed(spec: SourceSpec) -> None:
    """Raise SourceError for a data set that is packed already; its shards would pass for archives of images."""
    uri = absolute_uri(spec.source)
    is_packed = False
    names = (MANIFEST_NAME, "meta/plan.json")
    if is_local(uri):
        is_packed = all(os.path.isfile(os.path.join(uri, name)) for name in names)
    elif find_kind(uri) is not None or find_archive_kind(uri) or uri.endswith(MANIFEST_NAME):
        return
    else:
        with contextlib.suppress(OSError):  # what cannot be listed says so in its own way
            store = open_store(uri, spec.store)
            is_packed = all(any(info.key == name for info in store.list(name)) for name in names)
    if is_packed:
        raise SourceError(
            f"{spec.source}: expected images, got a data set that is packed already; reshard copies it for another "
            f"number of GPUs or into another container, without encoding again"
        )


def find_parquet_listing(spec: SourceSpec) -> list[str]:
    """Return the files of a source that is one Parquet file, or a folder of nothing else; none for every other."""
    uri = absolute_uri(spec.source)
    if uri.lower().endswith(".parquet") and not (is_local(uri) and not os.path.isfile(uri)):
        return [uri]
    if is_local(uri):
        return _find_parquet_files(uri) if os.path.isdir(uri) else []
    if find_kind(uri) is not None or find_archive_kind(uri):
        return []
    store = open_store(uri, spec.store)
    walk = ObjectWalk(spec, store.uri)
    for info in store.list():
        walk.count_kind(info.key)
        if walk.holds_others:
            return []
    return sorted(f"{store.uri}/{name}" for name in walk.tables)


def find_rows(spec: SourceSpec) -> RowFiles | None:
    """Return the files of a source whose rows hold images; None for every other source. Raises as `list_source`."""
    uri = absolute_uri(spec.source)
    if is_row_file(os.path.basename(uri)) and not (is_local(uri) and not os.path.isfile(uri)):
        folder, _, name = uri.rpartition("/")
        return find_row_files(spec, open_store(folder, spec.store), [name])
    if is_local(uri) and not _may_hold_rows(uri):
        return None
    if find_kind(uri) is not None or os.path.basename(uri) == MANIFEST_NAME or find_archive_kind(uri):
        return None
    store = open_store(uri, spec.store)
    keys = []
    for info in store.list():
        name = posixpath.basename(info.key)
        if is_row_file(info.key):
            keys.append(info.key)
        elif not (is_hidden(info.key.split("/")[0]) or name.startswith(("_", ".")) or name.endswith(_ASIDE)):
            return None
    return find_row_files(spec, store, sorted(keys))


def _may_hold_rows(folder: str) -> bool:
    """Say whether a folder, or one in it, has a file of rows; others are not walked through twice."""
    for top in (folder, os.path.join(folder, "data")):
        with contextlib.suppress(OSError), os.scandir(top) as entries:
            if any(is_row_file(entry.name) for entry in entries):
                return True
    return False


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
