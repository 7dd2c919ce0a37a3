"""Where the members of a zip archive lie, from its directory and the header before each member.

    | local header | name | extra | stored bytes | ... | directory | end of directory |

The directory is parsed by the standard library. A member's bytes start after its local header, whose extra field often
has another length than the directory's, so each is read.

Names come in three encodings. With their mark they are UTF-8; without it they should be code page 437, but macOS and
Info-ZIP write UTF-8 all the same, and Info-ZIP adds a Unicode Path, an extra field with the checksum of the name that
it stands for.
"""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator

from packer.errors import SourceError
from packer.sources.archivefiles import ArchiveFile, ArchiveStream
from packer.sources.members import DEFLATED, STORED, FoundMember, damaged

_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_LOCAL_SIGNATURE = b"PK\x03\x04"
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_UTF8_NAME = 0x800
_EXTRA_HEADER = struct.Struct("<2H")
_UNICODE_PATH = 0x7075
_UNICODE_PATH_HEADER = struct.Struct("<BL")
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
        stored = info.orig_filename.encode("utf-8" if info.flag_bits & _UTF8_NAME else "cp437")
        name = _decode_name(stored, info.flag_bits, info.extra)
        if not stop <= start < directory:
            raise damaged(archive, start, f"{name!r} lies over another member, or beyond the directory")
        offset = _find_offset(file, start, stored, name)
        stop = offset + info.compress_size
        if stop > directory:
            raise damaged(
                archive,
                offset,
                f"expected {info.compress_size:,} bytes of {name!r} before the directory, "
                f"got {max(0, directory - offset):,}",
            )
        if not name.endswith("/"):
            fault = _find_fault(info, name)
            yield FoundMember(name, offset, info.compress_size, info.file_size, info.compress_type, fault)


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


def _decode_name(stored: bytes, flags: int, extra: bytes) -> str:
    """Return a name: as marked, by its Unicode Path, as UTF-8 if it is that, or else as code page 437.

    Raises:
        UnicodeDecodeError: it is marked as UTF-8 and is not.
    """
    if flags & _UTF8_NAME:
        return stored.decode()
    for text in (_find_unicode_path(stored, extra), stored):
        try:
            if text:
                return text.decode()
        except UnicodeDecodeError:
            continue
    return stored.decode("cp437")


def _find_unicode_path(stored: bytes, extra: bytes) -> bytes:
    """Return the Unicode Path of a name; empty where there is none, or one of another name."""
    while len(extra) >= _EXTRA_HEADER.size:
        kind, num_bytes = _EXTRA_HEADER.unpack_from(extra)
        content, extra = extra[_EXTRA_HEADER.size :][:num_bytes], extra[_EXTRA_HEADER.size + num_bytes :]
        if kind == _UNICODE_PATH and len(content) > _UNICODE_PATH_HEADER.size:
            version, checksum = _UNICODE_PATH_HEADER.unpack_from(content)
            if (version, checksum) == (1, zlib.crc32(stored)):
                return content[_UNICODE_PATH_HEADER.size :]
    return b""


def _find_offset(file: ArchiveFile, start: int, stored: bytes, name: str) -> int:
    """Return where the stored bytes of a member start, whose local header at `start` must have the directory's name.

    Some programs mark or encode it otherwise in one of the two places, so it is the same if it reads the same.
    """
    header = file.read(start, _LOCAL_HEADER.size)
    if len(header) < _LOCAL_HEADER.size or not header.startswith(_LOCAL_SIGNATURE):
        raise damaged(file.name, start, f"expected the header of {name!r}")
    _, _, flags, *_, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(header)
    offset = start + _LOCAL_HEADER.size + name_bytes
    found = file.read(start + _LOCAL_HEADER.size, name_bytes)
    if found != stored and not _reads_as(name, found, flags, file.read(offset, extra_bytes)):
        raise damaged(file.name, start, f"expected the header of {name!r}, got that of {found!r}")
    return int(offset + extra_bytes)


def _reads_as(name: str, stored: bytes, flags: int, extra: bytes) -> bool:
    try:
        return _decode_name(stored, flags, extra) == name
    except UnicodeDecodeError:
        return False


def _find_fault(info: zipfile.ZipInfo, name: str) -> str:
    method = info.compress_type
    if info.flag_bits & _ENCRYPTED:
        return "is encrypted; unpack the archive and pack it without a password"
    if info.create_system == _UNIX and stat.S_ISLNK(info.external_attr >> 16):
        return "is a symbolic link; pack the archive without zip's option --symlinks"
    if method not in (STORED, DEFLATED):
        known = _METHODS.get(method, "unknown")
        return f"is compressed by method {method} ({known}); pack the archive anew with deflate or without compression"
    if method == STORED and info.compress_size != info.file_size:
        return f"has {info.compress_size:,} bytes where the directory says {info.file_size:,}; make the archive anew"
    if "\\" in name:
        return "has \\ for / in its name; pack the archive anew with another program"
    return ""
