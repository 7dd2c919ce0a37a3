"""Sources in buckets and other remote places: a prefix as a folder, an archive, or a listing.

A prefix gives the same items as a folder with the same files would: what stands before a ``/`` counts as a folder.
Archives are not copied here: their headers are read where they lie, several archives at a time.
"""

from __future__ import annotations

import os
import tempfile
from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from packer.errors import SourceError
from packer.sources.archivefiles import open_remote
from packer.sources.archives import ArchivePlace, add_archive, find_archive_kind
from packer.sources.folder import build_listing, refuse_images_beside_classes, refuse_listing_options
from packer.sources.image_names import is_hidden, is_image
from packer.sources.items import Listing, SourceSpec
from packer.sources.listing import list_listing
from packer.sources.scan import NO_CLASS, Scan
from packer.sources.tables import find_kind
from packer.stores.open_store import absolute_uri, open_store
from packer.stores.store import ObjectInfo, ObjectNotFoundError, Store

_NUM_ARCHIVES = 8
"""Archives that are listed at a time."""

_FoundArchive = tuple[ObjectInfo, ArchivePlace]


def list_remote(spec: SourceSpec) -> Listing:
    """List what the URI `spec.source` holds: a prefix of images, an archive of them, a listing, or Parquet files.

    ``ARCHIVE/FOLDER`` names a folder in an archive, where nothing lies below that prefix.

    Raises:
        SourceError: nothing is there, or something that is not as it must be.
        OSError: the place cannot be read.
    """
    uri = absolute_uri(spec.source)
    parent, _, name = uri.rpartition("/")
    if parent.endswith(":/"):  # a whole bucket, whatever its name
        name = ""
    if name and find_archive_kind(uri) and (archive := _find_archive(spec, uri)) is not None:
        return _list_archive(spec, *archive)
    if find_kind(name) is not None:
        return _list_listing(spec, open_store(parent, spec.store), [name])
    store = open_store(uri, spec.store)
    walk = ObjectWalk(spec, store.uri)
    for info in store.list():
        walk.add(info)
    if walk.is_table:
        return _list_listing(spec, store, sorted(walk.tables))
    refuse_listing_options(spec)
    if not walk.num_objects and (archive := _find_archive(spec, uri)) is not None:
        return _list_archive(spec, *archive)
    return build_walk(spec, walk)


def _find_archive(spec: SourceSpec, uri: str) -> tuple[Store, ObjectInfo, str] | None:
    """Return the archive that a URI names or leads into, its store and the folder in it; None if there is none."""
    path = uri
    while not (path := path.rstrip("/")).endswith(":"):
        parent, _, name = path.rpartition("/")
        if not parent.endswith(":/") and find_archive_kind(path):
            store = open_store(parent, spec.store)
            for info in store.list(name):
                if info.key == name:
                    return store, info, uri[len(path) + 1 :]
        path = parent
    return None


def _list_archive(spec: SourceSpec, store: Store, info: ObjectInfo, folder: str) -> Listing:
    refuse_listing_options(spec)
    scan = Scan(store.uri, spec.found)
    label = NO_CLASS if spec.flat else None
    _add_archives(scan, store, [(info, ArchivePlace(key=info.key, folder=folder, label=label, etag=info.etag))])
    refuse_images_beside_classes(spec, scan)
    return build_listing(spec, scan)


def _add_archives(scan: Scan, store: Store, archives: Iterable[_FoundArchive]) -> None:
    with ThreadPoolExecutor(_NUM_ARCHIVES) as threads, ThreadPoolExecutor(store.read_ahead) as readers:

        def add(found: _FoundArchive) -> None:
            with open_remote(store, found[0], readers) as file:
                add_archive(scan, file, found[1])

        try:
            deque(threads.map(add, archives), maxlen=0)
        except BaseException:
            readers.shutdown(wait=False, cancel_futures=True)  # the other archives need not be read to their ends
            raise


def build_walk(spec: SourceSpec, walk: ObjectWalk) -> Listing:
    """Return the items of all objects that a walk took. Raises SourceError as a folder's listing does."""
    if not walk.num_objects:
        raise SourceError(f"{spec.source}: nothing there: expected images below it; mend its name")
    if walk.archives:
        store = open_store(walk.scan.root, spec.store)
        _add_archives(walk.scan, store, sorted(walk.archives, key=lambda found: found[1].key))
    refuse_images_beside_classes(spec, walk.scan)
    return build_listing(spec, walk.scan)


class ObjectWalk:
    """Sorts the objects of a prefix, which come in any order, as a walk through folders would."""

    def __init__(self, spec: SourceSpec, root: str) -> None:
        self.scan = Scan(root, spec.found)
        self.num_objects = 0
        self.tables: list[str] = []
        self.archives: list[_FoundArchive] = []
        """Not yet read."""
        self._root = root
        self._is_flat = spec.flat
        self._hidden: set[str] = set()
        self._num_others = 0

    @property
    def is_table(self) -> bool:
        """Say whether there are Parquet files and nothing else, but for hidden and system entries."""
        return bool(self.tables) and not self.holds_others

    @property
    def holds_others(self) -> bool:
        """Say whether there is something else than Parquet files."""
        return self._num_others > 0

    def add(self, info: ObjectInfo) -> None:
        """Take one object."""
        self.num_objects += 1
        key = info.key
        folder, _, name = key.rpartition("/")
        self.count_kind(key)
        if "//" in key or key.startswith("/"):
            raise SourceError(f"{self._root}/{key}: a key with an empty part cannot be an item's; rename or remove it")
        if self._is_hidden(key):
            return
        label = NO_CLASS
        if folder and not self._is_flat:
            label = self.scan.find_class(folder.partition("/")[0])
        if not name:
            return  # a mark that some tools leave for a folder
        if is_image(name):
            self.scan.add_object(key, info.num_bytes, label, info.etag)
        elif find_archive_kind(f"{self._root}/{key}"):
            in_class = label if folder or self._is_flat else None
            self.archives.append((info, ArchivePlace(key=key, label=in_class, etag=info.etag)))
        else:
            suffix = os.path.splitext(name)[1].lower() or "without a suffix"
            self.scan.other_suffixes[ascii(suffix)[1:-1]] += 1

    def count_kind(self, key: str) -> None:
        """Take one object for what its name says, and no more."""
        folder, _, name = key.rpartition("/")
        if is_hidden(folder.partition("/")[0] or name):
            return
        if not folder and name.lower().endswith(".parquet") and not name.startswith("_"):
            self.tables.append(name)
        elif folder or not name.startswith("_"):
            self._num_others += 1

    def _is_hidden(self, key: str) -> bool:
        """Say whether a part of the key is hidden, and note the first such entry."""
        start = 0
        for part in key.split("/"):
            start += len(part) + 1
            if is_hidden(part):
                self._hidden.add(key[: start - 1])
                self.scan.num_hidden = len(self._hidden)
                return True
        return False


def _list_listing(spec: SourceSpec, store: Store, names: list[str]) -> Listing:
    """Copy listing files here, which are small beside what they list, and list what they name."""
    with tempfile.TemporaryDirectory(prefix="shardpack-") as folder:
        paths = [os.path.join(folder, name) for name in names]
        for name, path in zip(names, paths, strict=True):
            try:
                content = store.view(name)
            except ObjectNotFoundError:
                raise SourceError(f"{spec.source}: no such object") from None
            with open(path, "wb") as file:
                file.write(content)
        try:
            return list_listing(spec, paths, root=store.uri)
        except SourceError as error:
            raise SourceError(str(error).replace(folder, store.uri)) from None
