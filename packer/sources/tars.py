"""Where the members of a tar archive lie, from its headers alone.

    | header, 512 bytes | content, padded to 512 bytes | header | ... | 512 zero bytes twice | zeros |

A header may be preceded by others that say more of it: a GNU long name (types ``L``, ``K``) or a pax header (``x``;
``g`` for all that follow). Blocks are parsed by the standard library; they are walked here, so that an archive which is
cut, damaged or hostile ends in an error that says where, after one pass forward: tarfile itself stops at a damaged
header as if that were the end.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field

from packer.sources.archivefiles import ArchiveFile
from packer.sources.members import STORED, FoundMember, damaged

_BLOCK = tarfile.BLOCKSIZE
_MAX_EXTENSION_BYTES = 1 << 20
"""Of a long name or pax header; real ones have a few hundred bytes."""
_TAIL_STEP_BYTES = 1 << 20
_TYPES_WITHOUT_CONTENT = frozenset(
    {tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE}
)
_PAX_TYPES = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
_REGULAR_TYPES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_SPARSE = "is sparse, its holes left out; pack the archive without tar's option --sparse"
_FAULTS = {
    tarfile.GNUTYPE_SPARSE: _SPARSE,
    tarfile.LNKTYPE: "is a hard link; pack the archive with tar's option --hard-dereference",
    tarfile.SYMTYPE: "is a symbolic link; pack the archive with tar's option --dereference",
}


@dataclass(slots=True)
class _Pending:
    """What the headers before a member's own say of it."""

    name: str | None = None
    pax: dict[str, str] = field(default_factory=dict)

    @property
    def is_sparse(self) -> bool:
        return any(key.startswith("GNU.sparse.") for key in self.pax)

    def name_of(self, header: tarfile.TarInfo) -> str:
        return self.pax.get("GNU.sparse.name") or self.pax.get("path") or self.name or header.name


def iter_tar(file: ArchiveFile) -> Iterator[FoundMember]:
    """Yield the members of an open tar archive but its folders, in their order; content is not read.

    Raises:
        SourceError: the archive is cut or damaged, and at which byte.
        OSError: it cannot be read.
    """
    archive, num_bytes = file.name, file.num_bytes
    pending, offset = _Pending(), 0
    while True:
        header = _read_header(file, offset)
        if header is None:
            _check_tail(file, offset)
            return
        start = offset + _BLOCK
        size = _find_size(header, pending, archive, offset)
        offset = start + -(-size // _BLOCK) * _BLOCK
        if start + size > num_bytes:
            raise damaged(archive, start, f"expected {size:,} bytes of {header.name!r}, got {num_bytes - start:,}")
        if _is_extension(header.type):
            _extend(pending, header.type, _read_extension(file, start, size), (archive, start))
            continue
        if header.type != tarfile.DIRTYPE:
            fault = _SPARSE if pending.is_sparse else _find_fault(header.type)
            yield FoundMember(pending.name_of(header), start, size, size, STORED, fault)
        pending = _Pending()


def _is_extension(kind: bytes) -> bool:
    return kind in _PAX_TYPES or kind in (tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)


def _find_fault(kind: bytes) -> str:
    if kind in _REGULAR_TYPES:
        return ""
    return _FAULTS.get(kind, f"is a device, a pipe or of an unknown type ({kind!r}); leave it out of the archive")


def _read_header(file: ArchiveFile, offset: int) -> tarfile.TarInfo | None:
    """Return the header at `offset`, or None for the zeros that end an archive."""
    block = file.read(offset, _BLOCK)
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.TarError as error:
        if len(block) == _BLOCK and not any(block):
            return None
        if not block:
            raise damaged(file.name, offset, "expected its end mark of zeros, got the end of the file") from None
        raise damaged(file.name, offset, f"no header of a member: {error}") from None
    except ValueError as error:
        raise damaged(file.name, offset, f"no header of a member: {error}") from None


def _check_tail(file: ArchiveFile, offset: int) -> None:
    """Refuse what follows the end mark, such as a second archive, which other readers would pass over in silence."""
    while tail := file.read(offset, _TAIL_STEP_BYTES):
        rest = tail.lstrip(b"\0")
        if rest:
            at = offset + len(tail) - len(rest)
            raise damaged(file.name, at, "expected zeros to the end of the file, got more; name joined archives apart")
        offset += len(tail)


def _find_size(header: tarfile.TarInfo, pending: _Pending, archive: str, offset: int) -> int:
    size = header.size
    if header.type in _TYPES_WITHOUT_CONTENT:
        return 0
    if not _is_extension(header.type) and "size" in pending.pax:
        text = pending.pax["size"]
        size = int(text) if text.isascii() and text.isdigit() and len(text) < 19 else -1
    if not 0 <= size < 1 << 62:
        raise damaged(archive, offset, f"expected a size in bytes of {header.name!r}")
    return size


def _read_extension(file: ArchiveFile, start: int, size: int) -> bytes:
    if size > _MAX_EXTENSION_BYTES:
        raise damaged(file.name, start, f"expected at most {_MAX_EXTENSION_BYTES:,} bytes of header, got {size:,}")
    return file.read(start, size)


def _extend(pending: _Pending, kind: bytes, content: bytes, place: tuple[str, int]) -> None:
    """Add to `pending` what an extension says; `place` is the archive and where the content starts."""
    if kind == tarfile.GNUTYPE_LONGNAME:
        pending.name = content.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
    elif kind != tarfile.GNUTYPE_LONGLINK:
        fields = _parse_pax(content, place)
        if kind != tarfile.XGLTYPE:
            pending.pax |= fields
        elif any(key in ("path", "size") or key.startswith("GNU.sparse.") for key in fields):
            raise damaged(*place, "a global header that sets the name or size of every member")


def _parse_pax(content: bytes, place: tuple[str, int]) -> dict[str, str]:
    """Parse records of ``LENGTH KEY=VALUE`` and a line feed; LENGTH is that of the whole record."""
    fields: dict[str, str] = {}
    at = 0
    while at < len(content) and content[at] != 0:
        digits, space, _ = content[at : at + 12].partition(b" ")
        stop = at + int(digits) if space and digits.isdigit() else at
        key, equals, value = content[at + len(digits) + 1 : stop - 1].partition(b"=")
        if not equals or stop > len(content) or content[stop - 1 : stop] != b"\n":
            raise damaged(place[0], place[1] + at, "expected a pax record of LENGTH KEY=VALUE")
        fields[key.decode("utf-8", "surrogateescape")] = value.decode("utf-8", "surrogateescape")
        at = stop
    return fields
