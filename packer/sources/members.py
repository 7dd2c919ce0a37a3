"""Items that are members of an archive: addressed where they lie, never unpacked.

Such an item's key is ``ARCHIVE/MEMBER`` and its row has four more columns, named here with a leading underscore, which
no listing's column can have. All other items have none of them, or nulls.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

import msgspec

from packer.errors import SourceError

ARCHIVE = "_archive"
"""Key of the archive, relative to the root."""
OFFSET_BYTES = "_offset_bytes"
"""Where the member's stored bytes start in the archive."""
STORED_BYTES = "_stored_bytes"
"""How many stored bytes there are; `num_bytes` is their size after decompression."""
METHOD = "_method"
"""ZIP's number of the compression: 0 stored as they are, 8 deflated."""
SHAPES = "_shapes"
"""What is drawn as a mask, where it is no file; see `packer.imaging.shapes`."""
SPILLED, SPILLED_AT = "_spilled", "_spilled_at"
"""File and offset of an image that came out of a table's rows, for the time of a run: no part of what the item is."""
MEMBER_COLUMNS = (ARCHIVE, OFFSET_BYTES, STORED_BYTES, METHOD)


def picture_column(field: str, column: str) -> str:
    """Return the column that says of a field's pictures what `column`, such as ARCHIVE, says of the items."""
    return f"_{field}:{column.removeprefix('_')}"


STORED, DEFLATED = 0, 8
IN_ROWS = -1
"""Stands for a method where images came out of rows: stored as they are in a temporary file (imagerows.py)."""


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """Where a member's bytes lie: ``[offset_bytes, offset_bytes + stored_bytes)`` of its archive."""

    archive: str
    offset_bytes: int
    stored_bytes: int
    method: int


class FoundMember(NamedTuple):
    """A member as its archive's headers have it; a tuple, since there may be millions."""

    name: str
    """As stored: not yet clean, with ``/`` between its parts."""
    offset_bytes: int
    """Where its stored bytes start in the archive."""
    stored_bytes: int
    num_bytes: int
    """After decompression, as the archive claims."""
    method: int
    fault: str
    """Why it cannot be an item and what to do; empty for one that can."""


def damaged(archive: str, offset_bytes: int, problem: str) -> SourceError:
    """Return the error for an archive that contradicts itself at a byte."""
    return SourceError(f"{archive}: damaged at byte {offset_bytes:,}: {problem}; copy it or make it anew")


def unpack_member(stored: bytes, *, method: int, num_bytes: int) -> bytes:
    """Return a member's own bytes from its stored ones; never more than `num_bytes` + 1 of them.

    Raises:
        ValueError: they cannot be decompressed.
    """
    if method in (STORED, IN_ROWS):
        return stored
    if method != DEFLATED:
        raise ValueError(f"expected ZIP method {STORED} or {DEFLATED}, got {method}")
    decompressor = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    try:
        return decompressor.decompress(stored, num_bytes + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from None
