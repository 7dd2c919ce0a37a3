"""Folders and archives of images: one folder per class, or all images together.

An archive counts as its members, unpacked where it lies. Nothing is left out silently: what is not an image is counted
in a notice, and what cannot be read is an error, since a folder that is quietly smaller trains a quietly worse model.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from packer.errors import SourceError
from packer.shown_text import counted
from packer.sources.archivefiles import open_local
from packer.sources.archives import ArchivePlace, add_archive, find_archive_kind
from packer.sources.classmap import load_class_map
from packer.sources.image_names import is_hidden, is_image, quote
from packer.sources.items import KEY, LABEL, LabelKind, Listing, SourceSpec, build_items
from packer.sources.keys import common_folder
from packer.sources.scan import NO_CLASS, Scan, check_name
from packer.sources.splitfolders import split_of

_REMEDY = "mend or remove it, since leaving it out would shrink the data set"

_MAX_VISITS = 1000
"""Links to folders that hold links to folders can lead to a few folders on more ways than can be walked."""

_FolderId = tuple[int, int]


def list_folder(spec: SourceSpec, root: str) -> Listing:
    """List the images of a folder and of the archives in it; `root` is its absolute path.

    With sub-folders, and without `flat`, the first part of a key is its class; of a member of an archive that lies in
    the root, it is the first part of the member's name. Class ids follow the order of the names as UTF-8 bytes, or the
    class map. A class folder without images keeps its id, a folder in an archive has one only with images. Otherwise
    there are no labels, and every image below the folder counts. Links to files and folders are followed. Files of 0
    bytes are items.

    Raises:
        SourceError: an unreadable folder, a broken link, a name that is not UTF-8, a damaged archive, images beside
            class folders, a class that is not in the class map, options that only suit a listing, or no image at all.
    """
    refuse_listing_options(spec)
    walk = _Walk(spec, root)
    folders, archives = walk.add_folder("", NO_CLASS)
    for archive in archives:
        walk.add_archive(archive, "", None if not spec.flat else NO_CLASS)
    if not spec.flat:
        for name in folders:
            walk.scan.find_class(name)
    refuse_images_beside_classes(spec, walk.scan)
    for name in folders:
        walk.add_tree(name, NO_CLASS if spec.flat else walk.scan.find_class(name))
    return build_listing(spec, walk.scan)


def list_archive(spec: SourceSpec, path: str, folder: str) -> Listing:
    """List the images of one archive as `list_folder` would its content; keys start with the archive's own name.

    `folder` names a folder in the archive to take in place of all of it, or is empty.
    """
    refuse_listing_options(spec)
    root, archive = os.path.split(path)
    walk = _Walk(spec, root)
    walk.add_archive(archive, folder, NO_CLASS if spec.flat else None)
    refuse_images_beside_classes(spec, walk.scan)
    return build_listing(spec, walk.scan)


def refuse_listing_options(spec: SourceSpec) -> None:
    """Raise SourceError for options that suit no folder."""
    for field, value in (("label_column", spec.label_column), ("key_column", spec.key_column), ("root", spec.root)):
        if value is not None:
            raise SourceError(
                f"expected with a listing only, got it with the folder {spec.source!r}; leave it out", field=field
            )


def refuse_images_beside_classes(spec: SourceSpec, scan: Scan) -> None:
    """Raise SourceError where only some images have a class."""
    table = scan.table()
    stray = table.column(KEY).filter(pc.equal(table.column(LABEL), NO_CLASS))
    if len(stray) and scan.class_names:
        examples = quote(stray.slice(0, 4).to_pylist())
        raise SourceError(
            f"{spec.source}: {counted(len(stray), 'image')} beside {counted(len(scan.class_names), 'class folder')}, "
            f"such as {examples}; move them into a class folder, or pass `flat=True` for no labels"
        )


class _Walk:
    """Reads folders and archives below a root into a scan."""

    def __init__(self, spec: SourceSpec, root: str) -> None:
        self.scan = Scan(root, spec.found)
        self._root = root
        self._num_visits: Counter[_FolderId] = Counter()

    def add_folder(self, prefix: str, label: int) -> tuple[list[str], list[str]]:
        """Take the images directly in the folder `prefix` (a key with its last ``/``, or empty: the root).

        Returns its folders, as keys without a last ``/``, and its archives.
        """
        try:
            with os.scandir(os.path.join(self._root, prefix)) as entries:
                return self._take_entries(entries, prefix, label)
        except OSError as error:
            path = error.filename or os.path.join(self._root, prefix)
            raise SourceError(f"{path!r}: cannot be read ({error.strerror}); {_REMEDY}") from None

    def _take_entries(
        self, entries: Iterable[os.DirEntry[str]], prefix: str, label: int
    ) -> tuple[list[str], list[str]]:
        folders: list[str] = []
        archives: list[str] = []
        add_file = self.scan.add_file
        for entry in entries:
            name = entry.name
            if is_hidden(name):
                self.scan.num_hidden += 1
            elif entry.is_dir():
                check_name(prefix + name, self._root)
                folders.append(prefix + name)
            elif is_image(name) and entry.is_file():
                add_file(prefix + name, entry.stat().st_size, label)
            elif entry.is_file() and find_archive_kind(entry.path):
                check_name(prefix + name, self._root)
                archives.append(prefix + name)
            else:
                self._skip(entry)
        return folders, archives

    def _skip(self, entry: os.DirEntry[str]) -> None:
        is_file = entry.is_file()
        if not is_file and entry.is_symlink() and not os.path.exists(entry.path):
            raise SourceError(f"{entry.path!r}: a link to {os.readlink(entry.path)!r}, which is not there; {_REMEDY}")
        suffix = os.path.splitext(entry.name)[1].lower() or "without a suffix"
        self.scan.other_suffixes[ascii(suffix)[1:-1] if is_file else "pipes, sockets or devices"] += 1

    def add_tree(self, folder: str, label: int) -> None:
        """Take every image below a folder of the root. A link back to a folder above it is noted, not followed."""
        stack: list[tuple[str, tuple[_FolderId, ...]]] = [(folder, (_folder_id(self._root),))]
        while stack:
            key, ancestors = stack.pop()
            folder_id = _folder_id(os.path.join(self._root, key))
            if folder_id in ancestors:
                self.scan.loops.append(key)
                continue
            self._count_visit(key, folder_id)
            folders, archives = self.add_folder(key + "/", label)
            for archive in archives:
                self.add_archive(archive, "", label)
            stack.extend((child, (*ancestors, folder_id)) for child in folders)

    def _count_visit(self, key: str, folder_id: _FolderId) -> None:
        self._num_visits[folder_id] += 1
        if self._num_visits[folder_id] > _MAX_VISITS:
            path = os.path.join(self._root, key)
            raise SourceError(
                f"{path!r}: links lead to this folder on more than {_MAX_VISITS:,} ways; expected each image once: "
                "remove links"
            )

    def add_archive(self, key: str, folder: str, label: int | None) -> None:
        """Take the images of an archive, or of one folder in it; without `label` their first folder is their class."""
        with open_local(os.path.join(self._root, key)) as file:
            add_archive(self.scan, file, ArchivePlace(key=key, folder=folder, label=label))


def _folder_id(path: str) -> _FolderId:
    try:
        status = os.stat(path)
    except OSError as error:
        raise SourceError(f"{path!r}: cannot be read ({error.strerror}); {_REMEDY}") from None
    return status.st_dev, status.st_ino


def build_listing(spec: SourceSpec, scan: Scan) -> Listing:
    """Return what a scan found, with class ids and notices. Raises SourceError without any image."""
    table = scan.table()
    names = scan.class_names
    columns = dict(zip(table.column_names, table.columns, strict=True))
    labels = columns.pop(LABEL)
    empty = scan.empty_classes(labels)
    notices = _build_notices(scan, empty)
    if not table.num_rows:
        skipped = "".join(f"; {notice}" for notice in notices)
        raise SourceError(f"{spec.source}: nothing in it: expected files such as .jpg, .png or .webp{skipped}")
    if problem := _find_wrong_level(spec, scan, sorted(set(names) - set(empty)), columns[KEY]):
        notices += (problem,)
    if spec.class_map is not None:
        class_map = load_class_map(spec.class_map, spec.store)
        ids, names = class_map.find_ids(names, spec.source), class_map.class_names
    else:
        ids = tuple(range(len(names)))
    if scan.class_names:
        columns[LABEL] = scan.relabel(labels, ids)
    return Listing(
        items=build_items(columns),
        label_kind=LabelKind.CLASS if scan.class_names else LabelKind.NONE,
        class_names=names,
        root=scan.root,
        notices=notices,
    )


def _build_notices(scan: Scan, empty: list[str]) -> tuple[str, ...]:
    """Return what was passed over, and where nothing was."""
    notices = []
    if scan.num_hidden:
        notices.append(f"skipped {counted(scan.num_hidden, 'hidden or system entry', 'hidden or system entries')}")
    if scan.other_suffixes:
        ranked = sorted(scan.other_suffixes.items(), key=lambda pair: (-pair[1], pair[0]))
        kinds = ", ".join(f"{number:,} {suffix}" for suffix, number in ranked[:10])
        total = sum(scan.other_suffixes.values())
        notices.append(f"skipped {counted(total, 'file')} not named as images: {kinds}{', ...' * (len(ranked) > 10)}")
    if scan.loops:
        notices.append(
            f"skipped {counted(len(scan.loops), 'folder link')} back to a folder above: {quote(sorted(scan.loops))}"
        )
    if scan.empty_archives:
        archives = sorted(scan.empty_archives)
        notices.append(f"{counted(len(archives), 'archive')} without images: {quote(archives)}")
    if empty:
        notices.append(f"{counted(len(empty), 'class folder')} without images: {quote(empty)}")
    return tuple(notices)


def _find_wrong_level(spec: SourceSpec, scan: Scan, classes: list[str], keys: pa.ChunkedArray) -> str:
    """Return a notice if SOURCE may not be the folder of the class folders; `classes` are those with images.

    Raises SourceError where all of them are named as splits.
    """
    splits = [name for name in classes if split_of(name)]
    if len(splits) > 1 and splits == classes and spec.class_map is None:
        raise SourceError(
            f"{spec.source}: the folders {quote(splits)} are named as splits and would become classes; pass "
            f"`split_folders=True` to have them as splits, give one of them ({_below_source(splits[0])}), or pass "
            "`flat=True` for no labels"
        )
    # One among others may be a class: there are data sets that know trains.
    if len(splits) > 1 or (splits and len(classes) == 1):
        return (
            f"the classes {quote(splits)} look like splits; if they are, give one of them: {_below_source(splits[0])}"
        )
    if len(classes) == 1 and scan.num_archives:
        return f"there is one class, {classes[0]!r}; if it holds the class folders, name it as SOURCE"
    wrapper = _find_wrapper(keys) if len(classes) == 1 else ""
    if wrapper:
        return (
            f"there is one class, {classes[0]!r}, but all images lie in folders of {wrapper!r}; if those are the "
            f"classes, give {_below_source(wrapper)}"
        )
    if not classes and not spec.flat and scan.num_archives > 1:
        return "no labels: the archives have no folders; put each into a folder named as its class for labels"
    return ""


def _below_source(folder: str) -> str:
    return repr(f"SOURCE/{folder}")


def _find_wrapper(keys: pa.ChunkedArray) -> str:
    """Return the deepest folder that holds all keys, if each lies in a folder in it; else nothing."""
    folder = common_folder(keys)
    is_below = pc.min(pc.count_substring(keys, "/")).as_py() > folder.count("/")
    return folder[:-1] if is_below else ""
