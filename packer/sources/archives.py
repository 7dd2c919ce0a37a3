"""Images in tar and zip archives: found by their headers, checked, and left where they are.

What could write outside a folder, or fill a memory, is refused although nothing is unpacked to a disk here: such an
archive was not made by packing a folder of images.
"""

from __future__ import annotations

import enum
import os
from collections import Counter
from collections.abc import Iterator

from packer.errors import SourceError
from packer.sources.members import FoundMember
from packer.sources.names import clean_member, is_hidden, is_image
from packer.sources.tars import iter_tar
from packer.sources.zips import iter_zip

MAX_MEMBER_BYTES = 1_000_000_000
MAX_RATIO = 200
"""Of a member's size to its stored size. Deflate reaches 1,032; a blank BMP of a camera's size stays below 200 only
if it is small, so sizes up to 10 MB may have any ratio."""
_RATIO_FREE_BYTES = 10_000_000

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

    def __init__(self, path: str, kind: ArchiveKind, folder: str) -> None:
        self._path = path
        self._kind = kind
        self._prefix = folder + "/" if folder else ""
        self.num_hidden = 0
        self.other_suffixes: Counter[str] = Counter()

    def iter_images(self) -> Iterator[FoundMember]:
        """Yield the images in the archive's folder (all of it, if empty) by clean names, relative to the archive.

        Raises:
            SourceError: the archive cannot be read, is damaged, has a name that leads out of it or appears twice, or
                an image that cannot be addressed or claims an absurd size.
        """
        seen: set[str] = set()
        for member in self._iter_members():
            name = self._clean(member)
            if not name.startswith(self._prefix) or self._skips(name):
                continue
            self._check(member, name)
            if name in seen:
                raise self._error(name, "appears more than once; make the archive anew from a folder")
            seen.add(name)
            yield member._replace(name=name)

    def _iter_members(self) -> Iterator[FoundMember]:
        try:
            descriptor = os.open(self._path, os.O_RDONLY)
        except OSError as error:
            raise SourceError(f"{self._path}: cannot be read ({error.strerror})") from None
        try:
            yield from (iter_tar if self._kind is ArchiveKind.TAR else iter_zip)(descriptor, self._path)
        except OSError as error:
            raise SourceError(f"{self._path}: cannot be read ({error.strerror or error})") from None
        finally:
            os.close(descriptor)

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
        return SourceError(f"{self._path}: the member {name!r} {problem}")
