"""Reading and writing the JSON documents of a data set, so that they can gain a field and old ones stay as they are.

- A document says its version, which is looked at before anything else in it. One that says none is of version 1.
- Fields of version 1, and `version`, are always written. A later field is ``T | msgspec.UnsetType = msgspec.UNSET``,
  annotated with `since`, and is written only where it is set. So a document that does not use it keeps its bytes.
- What is written carries the lowest version whose readers understand it (`lowest_version`).
- A field that its version does not have is an error: no release writes it, so the document was edited.
- A digest is of the document's bytes as they are found, with the digest itself blanked. So it stays right whatever
  fields later releases know.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, get_args

import msgspec
from msgspec import Meta

from packer import __version__
from packer.errors import DataSetError, NewerVersionError
from packer.parsing import ParseError, parse_json

Document = TypeVar("Document")

_SINCE = "since"
_DIGEST = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a document is called in messages, and what to do about one that is damaged."""

    name: str
    """Its path or URI."""
    remedy: str


class _Head(msgspec.Struct, frozen=True, kw_only=True):
    """What is read of a document before all else; other fields are passed over."""

    version: int = 1
    digest: Any = msgspec.UNSET


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    since: int
    default: Any


def since(version: int) -> Meta:
    """Return the annotation of a field that the version `version` of a document brought."""
    return Meta(extra={_SINCE: version})


def lowest_version(value: object) -> int:
    """Return the lowest version of a document whose readers understand all that is set in `value`.

    A field annotated with `since` counts where its value is not its default. A member of an enumeration counts by its
    own attribute `since`, if its class has one.
    """
    if isinstance(value, msgspec.Struct):
        return max((_version_of_field(field, value) for field in _fields(type(value))), default=1)
    if isinstance(value, enum.Enum):
        return int(getattr(value, _SINCE, 1))
    if isinstance(value, Mapping):
        return max(map(lowest_version, value.values()), default=1)
    if isinstance(value, tuple):
        return max(map(lowest_version, value), default=1)
    return 1


def later_fields(kind: type[msgspec.Struct]) -> dict[str, int]:
    """Return the fields of a struct that a later version than the first brought, each with its version."""
    return {field.name: field.since for field in _fields(kind) if field.since > 1}


def _version_of_field(field: _Field, owner: msgspec.Struct) -> int:
    value = getattr(owner, field.name)
    is_used = field.since > 1 and value != field.default
    return max(field.since if is_used else 1, lowest_version(value))


@functools.cache
def _fields(kind: type[msgspec.Struct]) -> tuple[_Field, ...]:
    found = msgspec.structs.fields(kind)
    return tuple(_Field(field.name, _since_of(get_args(field.type)), field.default) for field in found)


def _since_of(annotations: Iterable[object]) -> int:
    extras = (note.extra for note in annotations if isinstance(note, Meta))
    return max((int(extra.get(_SINCE, 1)) for extra in extras if extra), default=1)


def decode_document(data: bytes, kind: type[Document], *, name: str, remedy: str) -> Document:
    """Parse a JSON document into `kind`.

    Args:
        data: the document.
        kind: a msgspec struct.
        name: its URI, for the message.
        remedy: what a user should do about a document that is damaged.

    Raises:
        DataSetError: it is not JSON, or a field is missing, unknown or of another type.
    """
    try:
        return parse_json(data, kind)
    except ParseError as error:
        raise DataSetError(f"{name}: not what this version writes there ({error}); {remedy}") from None


def decode_versioned(data: bytes, kind: type[Document], *, newest: int, place: Place) -> Document:
    """Parse a JSON document that says its version, and that may have a digest of itself.

    Args:
        data: the document.
        kind: a msgspec struct with a field `version`, which forbids unknown fields.
        newest: the highest version of this document that can be read.
        place: for messages.

    Raises:
        NewerVersionError: a newer release wrote it.
        DataSetError: it is not JSON, its digest does not fit its bytes, a field is missing or of another type, or its
            version has no such field.
    """
    head = decode_document(data, _Head, name=place.name, remedy=place.remedy)
    if head.version > newest:
        raise NewerVersionError(
            f"{place.name}: expected version 1 to {newest}, found {head.version}: it needs a newer release of "
            f"shardpack than this one, {__version__}; upgrade with pip install --upgrade shardpack"
        )
    if head.digest is not msgspec.UNSET:
        _check_digest(data, head.digest, place)
    document = decode_document(data, kind, name=place.name, remedy=place.remedy)
    wanted = lowest_version(document)
    if not 1 <= wanted <= head.version:
        raise DataSetError(
            f"{place.name}: edited after it was written: it says version {head.version} and has what version {wanted} "
            f"brought; {place.remedy}"
        )
    return document


def _check_digest(data: bytes, digest: object, place: Place) -> None:
    quoted = f'"{digest}"'.encode()
    found = hashlib.sha256(data.replace(quoted, b'""')).hexdigest()
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest) or data.count(quoted) != 1 or found != digest:
        raise DataSetError(
            f"{place.name}: edited after it was written: its digest says {digest}, its content {found}; {place.remedy}"
        )


def encode_document(document: msgspec.Struct) -> bytes:
    """Return a document as JSON with sorted keys, two spaces of indent and a line feed at the end."""
    return msgspec.json.format(msgspec.json.encode(document, order="sorted"), indent=2) + b"\n"


def encode_signed(document: msgspec.Struct) -> bytes:
    """Return a document that has a field `digest`, as `encode_document` does, with its digest filled in."""
    unsigned = encode_document(msgspec.structs.replace(document, digest=""))
    return encode_document(msgspec.structs.replace(document, digest=hashlib.sha256(unsigned).hexdigest()))
