"""Images in tar and zip archives: found by their headers, checked, and left where they are.

What could write outside a folder, or fill a memory, is refused although nothing is unpacked to a disk here: such an
archive was not made by packing a folder of images.
"""

from __future__ import annotations

import enum
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from packer.errors import SourceError
from packer.sources.archivefiles import ArchiveFile
from packer.sources.image_names import clean_member, is_hidden, is_image
from packer.sources.members import FoundMember
from packer.sources.scan import NO_CLASS, Scan
from packer.sources.tars import iter_tar
from packer.sources.zips import iter_zip

MAX_MEMBER_BYTES = 1_000_000_000
MAX_RATIO = 200
"""Of a member's size to its stored size. Deflate reaches 1,032; a blank BMP of a camera's size stays below 200 only
if it is small, so sizes up to 10 MB may have any ratio."""
_RATIO_FREE_BYTES = 10_000_000

_MEMBERS_PER_STEP = 1024

_COMPRESSED_TARS = (
    *(".tar.gz", ".tgz", ".taz", ".tar.bz2", ".tbz", ".tbz2", ".tar.xz", ".txz", ".tar.lzma", ".tlz"),
    *(".tar.zst", ".tzst", ".tar.lz4", ".tar.lz", ".tar.z"),
)


class ArchiveKind(enum.StrEnum):
    TAR = "tar"
    ZIP = "zip"


ARCHIVE_SUFFIXES = tuple(f".{kind}" for kind in ArchiveKind)


def find_archive_kind(path: str) -> ArchiveKind | None:
    """Return the kind that a file's name states, or None.

    Raises:
        SourceError: it is a compressed tar, whose members cannot be addressed.
    """
    name = path.lower()
    if name.endswith(ARCHIVE_SUFFIXES):
        return ArchiveKind(name[-3:])
    if name.endswith(_COMPRESSED_TARS):
        raise SourceError(
            f"{path}: a compressed tar, whose members cannot be read one by one; unpack it, or decompress it to a "
            "plain .tar (images hardly shrink)"
        )
    return None


class ArchiveScan:
    """The images of one archive, and what was passed over in it."""

    def __init__(self, file: ArchiveFile, folder: str) -> None:
        self._file = file
        self._prefix = folder + "/" if folder else ""
        self.num_hidden = 0
        self.other_suffixes: Counter[str] = Counter()

    def iter_images(self) -> Iterator[FoundMember]:
        """Yield the images in the archive's folder (all of it, if empty) by clean names, relative to the archive.

        Raises:
            SourceError: the archive is damaged, has a name that leads out of it or appears twice, or an image that
                cannot be addressed or claims an absurd size.
            OSError: it cannot be read.
        """
        seen: set[str] = set()
        is_tar = find_archive_kind(self._file.name) is ArchiveKind.TAR
        for member in (iter_tar if is_tar else iter_zip)(self._file):
            name = self._clean(member)
            if not name.startswith(self._prefix) or self._skips(name):
                continue
            self._check(member, name)
            if name in seen:
                raise self._error(name, "appears more than once; make the archive anew from a folder")
            seen.add(name)
            yield member._replace(name=name)

    def _clean(self, member: FoundMember) -> str:
        try:
            return clean_member(member.name)
        except ValueError as error:
            raise self._error(ascii(member.name)[1:-1], f"{error}; make the archive anew from a folder") from None

    def _skips(self, name: str) -> bool:
        if any(is_hidden(part) for part in name.removeprefix(self._prefix).split("/")):
            self.num_hidden += 1
            return True
        if is_image(name):
            return False
        self.other_suffixes[os.path.splitext(name)[1].lower() or "without a suffix"] += 1
        return True

    def _check(self, member: FoundMember, name: str) -> None:
        if member.fault:
            raise self._error(name, member.fault)
        size, stored = member.num_bytes, member.stored_bytes
        if size > MAX_MEMBER_BYTES or (size > _RATIO_FREE_BYTES and size > MAX_RATIO * stored):
            raise self._error(
                name,
                f"claims {size:,} bytes from {stored:,}; expected an image of at most {MAX_MEMBER_BYTES:,}, and above "
                f"{_RATIO_FREE_BYTES:,} of at most {MAX_RATIO} times its stored size; leave it out of the archive",
            )

    def _error(self, name: str, problem: str) -> SourceError:
        return SourceError(f"{self._file.name}: the member {name!r} {problem}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivePlace:
    """Where an archive stands in a source."""

    key: str
    """Of the archive; a member's is ``KEY/MEMBER``."""
    folder: str = ""
    """The folder in it whose images are taken; empty for all of it."""
    label: int | None = None
    """Class of all its members; None: the first folder of each is its class."""
    etag: str = ""


def add_archive(scan: Scan, file: ArchiveFile, place: ArchivePlace) -> None:
    """Add the images of an open archive to a scan. Several threads may do so at a time. Raises as `ArchiveScan`."""
    archive = ArchiveScan(file, place.folder)
    first = len(place.folder) + 1 if place.folder else 0
    images = archive.iter_images()
    num_images = 0
    while members := list(islice(images, _MEMBERS_PER_STEP)):
        num_images += len(members)
        with scan.lock:
            _add_members(scan, members, place, first)
    with scan.lock:
        scan.num_hidden += archive.num_hidden
        scan.other_suffixes += archive.other_suffixes
        scan.num_archives += 1
        if not num_images:
            scan.empty_archives.append(place.key)


def _add_members(scan: Scan, members: Iterable[FoundMember], place: ArchivePlace, first: int) -> None:
    """Add members; `first` is the length of what stands before the class in their names."""
    for member in members:
        class_id = place.label
        if class_id is None:
            name, is_in_folder, _ = member.name[first:].partition("/")
            class_id = scan.find_class(name) if is_in_folder else NO_CLASS
        where = (place.key, member.offset_bytes, member.stored_bytes, member.method)
        scan.add_member((f"{place.key}/{member.name}", member.num_bytes, class_id), where, place.etag)
