"""Where the members of a zip archive lie, from its directory and the header before each member.

    | local header | name | extra | stored bytes | ... | directory | end of directory |

The directory is parsed by the standard library. A member's bytes start after its local header, whose extra field often
has another length than the directory's, so each is read.
"""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from collections.abc import Iterator

from packer.errors import SourceError
from packer.sources.archivefiles import ArchiveFile, ArchiveStream
from packer.sources.members import DEFLATED, STORED, FoundMember, damaged

_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_LOCAL_SIGNATURE = b"PK\x03\x04"
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_UTF8_NAME = 0x800
_UNIX = 3
_METHODS = {1: "shrink", 6: "implode", 9: "deflate64", 12: "bzip2", 14: "lzma", 93: "zstd", 95: "xz", 98: "ppmd"}
_FAULTS_OF_DIRECTORY = (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, struct.error)


def iter_zip(file: ArchiveFile) -> Iterator[FoundMember]:
    """Yield the members of an open zip archive but its folders, in the order of their bytes; content is not read.

    Raises:
        SourceError: the archive is damaged or its members overlap, and at which byte.
        OSError: it cannot be read.
    """
    directory, infos = _load_directory(file)
    archive, stop = file.name, 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        start = info.header_offset
        if not stop <= start < directory:
            raise damaged(archive, start, f"{info.filename!r} lies over another member, or beyond the directory")
        offset = _find_offset(file, info)
        stop = offset + info.compress_size
        if stop > directory:
            raise damaged(
                archive,
                offset,
                f"expected {info.compress_size:,} bytes of {info.filename!r} before the directory, "
                f"got {max(0, directory - offset):,}",
            )
        if not info.orig_filename.endswith("/"):
            size = info.file_size
            yield FoundMember(
                info.orig_filename, offset, info.compress_size, size, info.compress_type, _find_fault(info)
            )


def _load_directory(file: ArchiveFile) -> tuple[int, list[zipfile.ZipInfo]]:
    """Return where the directory starts and what it holds."""
    try:
        with io.BufferedReader(ArchiveStream(file)) as stream, zipfile.ZipFile(stream) as opened:
            return opened.start_dir, opened.infolist()
    except _FAULTS_OF_DIRECTORY as error:
        raise SourceError(
            f"{file.name}: damaged, or no zip archive: its directory, at the end of its {file.num_bytes:,} bytes, "
            f"cannot be read ({' '.join(str(error).split())}); copy it or make it anew"
        ) from None


def _find_offset(file: ArchiveFile, info: zipfile.ZipInfo) -> int:
    start = info.header_offset
    header = file.read(start, _LOCAL_HEADER.size)
    if len(header) < _LOCAL_HEADER.size or not header.startswith(_LOCAL_SIGNATURE):
        raise damaged(file.name, start, f"expected the header of {info.filename!r}")
    *_, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(header)
    stored = info.orig_filename.encode("utf-8" if info.flag_bits & _UTF8_NAME else "cp437")
    found = file.read(start + _LOCAL_HEADER.size, name_bytes)
    if found != stored:
        raise damaged(file.name, start, f"expected the header of {info.filename!r}, got that of {found!r}")
    return int(start + _LOCAL_HEADER.size + name_bytes + extra_bytes)


def _find_fault(info: zipfile.ZipInfo) -> str:
    method = info.compress_type
    if info.flag_bits & _ENCRYPTED:
        return "is encrypted; unpack the archive and pack it without a password"
    if info.create_system == _UNIX and stat.S_ISLNK(info.external_attr >> 16):
        return "is a symbolic link; pack the archive without zip's option --symlinks"
    if method not in (STORED, DEFLATED):
        name = _METHODS.get(method, "unknown")
        return f"is compressed by method {method} ({name}); pack the archive anew with deflate or without compression"
    if method == STORED and info.compress_size != info.file_size:
        return f"has {info.compress_size:,} bytes where the directory says {info.file_size:,}; make the archive anew"
    if "\\" in info.orig_filename:
        return "has \\ for / in its name; pack the archive anew with another program"
    return ""
