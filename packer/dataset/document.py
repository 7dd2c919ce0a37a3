"""Reading the JSON documents of a data set."""

from __future__ import annotations

from typing import TypeVar

from packer.errors import DataSetError
from packer.parsing import ParseError, parse_json

Document = TypeVar("Document")


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
