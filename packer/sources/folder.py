"""Folders of images: one folder per class, or all images together.

Nothing is left out silently: what is not an image is counted in a notice, and what cannot be read is an error, since
a folder that is quietly smaller trains a quietly worse model.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from packer.errors import SourceError
from packer.sources.items import KEY, LABEL, NUM_BYTES, LabelKind, Listing, SourceSpec, build_items

# fmt: off
IMAGE_SUFFIXES = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".png", ".apng", ".webp", ".bmp", ".dib", ".gif", ".tif", ".tiff",
    ".jp2", ".j2k", ".jpx", ".j2c", ".jpf", ".avif", ".avifs", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".tga", ".ico",
    ".icns", ".dds", ".pcx", ".sgi",
})
# fmt: on
"""Lower-case endings of the files that are taken for images."""

_SYSTEM_NAMES = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini"})
_SPLIT_NAMES = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})
_CHUNK_FILES = 65_536
_NUM_EXAMPLES = 3
_REMEDY = "mend or remove it, since leaving it out would shrink the data set"

_FolderId = tuple[int, int]


def list_folder(spec: SourceSpec, root: str) -> Listing:
    """List the images of a folder; `root` is its absolute path.

    With sub-folders, and without `flat`, the first part of a key is its class, and class ids follow the order of the
    names as UTF-8 bytes; a class folder without images keeps its id. Otherwise there are no labels, and every image
    below the folder counts. Links to files and folders are followed. Files of 0 bytes are items.

    Raises:
        SourceError: an unreadable folder, a broken link, a name that is not UTF-8, images beside class folders,
            options that only suit a listing, or no image at all.
    """
    _refuse_listing_options(spec)
    scan = _Scan(root)
    folders = scan.add_folder("")
    if spec.flat or not folders:
        scan.add_tree(folders)
        return _build_listing(scan, class_names=())
    if scan.num_items:
        examples = scan.columns()[KEY].slice(0, _NUM_EXAMPLES + 1).to_pylist()
        raise SourceError(
            f"{spec.source}: {scan.num_items:,} images lie beside {len(folders):,} class folders, such as "
            f"{_quote(examples)}; move them into a class folder, or pass --flat for no labels"
        )
    class_names = tuple(sorted(folders))
    for name in class_names:
        scan.add_tree([name])
        scan.close_class()
    return _build_listing(scan, class_names=class_names)


def _refuse_listing_options(spec: SourceSpec) -> None:
    for option, value in (("label-column", spec.label_column), ("key-column", spec.key_column), ("root", spec.root)):
        if value is not None:
            raise SourceError(
                f"--{option}: expected with a listing only, got it with the folder {spec.source!r}; leave it out"
            )


class _Scan:
    """What was found so far. Names turn into Arrow chunks as they come, so that millions of them stay small."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.class_sizes: list[int] = []
        self.num_hidden = 0
        self.other_suffixes: Counter[str] = Counter()
        self.loops: list[str] = []
        self._keys: list[str] = []
        self._sizes: list[int] = []
        self._chunks: list[tuple[pa.Array, pa.Array]] = []

    @property
    def num_items(self) -> int:
        return sum(len(keys) for keys, _ in self._chunks) + len(self._keys)

    def add_folder(self, prefix: str) -> list[str]:
        """Take the images directly in the folder `prefix` (a key with its last ``/``, or empty: the root).

        Returns the sub-folders as keys without a last ``/``.
        """
        path = os.path.join(self.root, prefix)
        try:
            with os.scandir(path) as entries:
                return self._take_entries(entries, prefix)
        except OSError as error:
            raise SourceError(f"{(error.filename or path)!r}: cannot be read ({error.strerror}); {_REMEDY}") from None

    def _take_entries(self, entries: Iterable[os.DirEntry[str]], prefix: str) -> list[str]:
        folders: list[str] = []
        keys, sizes = self._keys, self._sizes
        for entry in entries:
            name = entry.name
            if name.startswith(".") or name in _SYSTEM_NAMES:
                self.num_hidden += 1
            elif entry.is_dir():
                _check_name(prefix + name, self.root)
                folders.append(prefix + name)
            elif name[name.rfind(".") :].lower() in IMAGE_SUFFIXES and entry.is_file():
                keys.append(prefix + name)
                sizes.append(entry.stat().st_size)
                if len(keys) == _CHUNK_FILES:
                    self._flush()
            else:
                self._skip(entry)
        return folders

    def _skip(self, entry: os.DirEntry[str]) -> None:
        is_file = entry.is_file()
        if not is_file and entry.is_symlink() and not os.path.exists(entry.path):
            raise SourceError(f"{entry.path!r}: a link to {os.readlink(entry.path)!r}, which is not there; {_REMEDY}")
        suffix = os.path.splitext(entry.name)[1].lower() or "without a suffix"
        self.other_suffixes[ascii(suffix)[1:-1] if is_file else "pipes, sockets or devices"] += 1

    def _flush(self) -> None:
        try:
            keys = pa.array(self._keys, pa.large_string())
        except UnicodeEncodeError:
            for key in self._keys:
                _check_name(key, self.root)
            raise
        self._chunks.append((keys, pa.array(self._sizes, pa.int64())))
        self._keys.clear()
        self._sizes.clear()

    def add_tree(self, folders: list[str]) -> None:
        """Take every image below these folders of the root. A link back to a folder above it is noted, not followed."""
        root_id = _folder_id(self.root)
        stack: list[tuple[str, tuple[_FolderId, ...]]] = [(name, (root_id,)) for name in folders]
        while stack:
            key, ancestors = stack.pop()
            folder_id = _folder_id(os.path.join(self.root, key))
            if folder_id in ancestors:
                self.loops.append(key)
                continue
            lineage = (*ancestors, folder_id)
            stack.extend((child, lineage) for child in self.add_folder(key + "/"))

    def close_class(self) -> None:
        """End the class whose folder was added last."""
        self.class_sizes.append(self.num_items - sum(self.class_sizes))

    def columns(self) -> dict[str, pa.ChunkedArray]:
        """Return the columns of the item table; labels where classes were closed."""
        self._flush()
        keys, sizes = zip(*self._chunks, strict=True)
        columns = {KEY: pa.chunked_array(keys), NUM_BYTES: pa.chunked_array(sizes)}
        if self.class_sizes:
            labels = np.repeat(np.arange(len(self.class_sizes), dtype=np.int64), self.class_sizes)
            columns[LABEL] = pa.chunked_array([pa.array(labels)])
        return columns


def _folder_id(path: str) -> _FolderId:
    try:
        status = os.stat(path)
    except OSError as error:
        raise SourceError(f"{path!r}: cannot be read ({error.strerror}); {_REMEDY}") from None
    return status.st_dev, status.st_ino


def _check_name(key: str, root: str) -> None:
    """Raise SourceError for a name whose bytes are not UTF-8 (Python stands lone surrogates in for them)."""
    try:
        key.encode()
    except UnicodeEncodeError:
        raise SourceError(f"{root}: the name {os.fsencode(key)!r} is not UTF-8, as keys must be; rename it") from None


def _build_listing(scan: _Scan, *, class_names: tuple[str, ...]) -> Listing:
    notices = _build_notices(scan, class_names)
    if not scan.num_items:
        skipped = "".join(f"; {notice}" for notice in notices)
        raise SourceError(f"{scan.root}: nothing in it: expected files such as .jpg, .png or .webp{skipped}")
    return Listing(
        items=build_items(scan.columns()),
        label_kind=LabelKind.CLASS if class_names else LabelKind.NONE,
        class_names=class_names,
        root=scan.root,
        notices=notices,
    )


def _build_notices(scan: _Scan, class_names: tuple[str, ...]) -> tuple[str, ...]:
    notices = []
    if scan.num_hidden:
        notices.append(f"skipped {_count(scan.num_hidden, 'hidden or system entry', 'hidden or system entries')}")
    if scan.other_suffixes:
        ranked = sorted(scan.other_suffixes.items(), key=lambda pair: (-pair[1], pair[0]))
        kinds = ", ".join(f"{count:,} {suffix}" for suffix, count in ranked[:10])
        total = sum(scan.other_suffixes.values())
        notices.append(f"skipped {_count(total, 'file')} not named as images: {kinds}{', ...' * (len(ranked) > 10)}")
    if scan.loops:
        notices.append(
            f"skipped {_count(len(scan.loops), 'folder link')} back to a folder above: {_quote(sorted(scan.loops))}"
        )
    empty = [name for name, size in zip(class_names, scan.class_sizes, strict=True) if not size] if class_names else []
    if empty:
        notices.append(f"{_count(len(empty), 'class folder')} without images: {_quote(empty)}")
    if class_names and {name.lower() for name in class_names} <= _SPLIT_NAMES:
        notices.append(f"the classes are {_quote(list(class_names))}, which look like splits; name one as SOURCE if so")
    return tuple(notices)


def _count(count: int, noun: str, plural: str = "") -> str:
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def _quote(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names[:_NUM_EXAMPLES]) + ", ..." * (len(names) > _NUM_EXAMPLES)
