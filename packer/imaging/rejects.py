"""Why an item could not become a sample: the fixed list of reasons, and the error that carries one."""

from __future__ import annotations

import enum

from packer.errors import PackerError


class RejectReason(enum.StrEnum):
    """Every reason there is; the values are written to ``rejects.jsonl`` and counted in the manifest."""

    MISSING = "missing"
    """The item is listed, but there is no such object."""
    UNREADABLE = "unreadable"
    """The object is there, but its bytes cannot be read (permissions, an archive member that is damaged)."""
    EMPTY_FILE = "empty_file"
    """The object has no bytes."""
    NOT_AN_IMAGE = "not_an_image"
    """The bytes do not begin as any image format that can be decoded."""
    UNSUPPORTED = "unsupported"
    """An image of a known format, in a variant that cannot be decoded, such as a 12-bit JPEG."""
    TRUNCATED = "truncated"
    """The file ends before the image does."""
    CORRUPT = "corrupt"
    """The file is of full length as far as one can tell, but contradicts its format."""
    TOO_MANY_PIXELS = "too_many_pixels"
    """The header promises more pixels than `max_pixels`."""
    TOO_SLOW = "too_slow"
    """It would take, or took, too long to decode."""
    OUTPUT_TOO_LARGE = "output_too_large"
    """The sample would have more pixels than `max_pixels`, or a side longer than its encoding allows."""
    FIELD = "field"
    """A field beside its label cannot be packed, such as a mask of another size than its picture."""


class RejectError(PackerError):
    """An item that cannot become a sample.

    Attributes:
        reason: one of the fixed list.
        detail: what was found, for a person to read; the same on every machine with the same libraries.
    """

    def __init__(self, reason: RejectReason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"
