"""The one boundary at which whatever a decoder raises becomes a RejectError with a reason."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

from PIL import Image

from packer.errors import PackerError
from packer.imaging.rejects import RejectError, RejectReason

_WEAK_SIGNATURES = frozenset({"BMP", "PPM"})
"""Any text may begin with two such letters, so an unreadable header means that the file is no image."""

_TRUNCATED_WORDS = ("truncat", "premature", "end of file", "not enough", "incomplete", "read error", "out of order")
_RARE_FIELDS = "unsupported bmp bitfields"
"""Pillow's words for the one fault of a BMP's header that no text has: it is found behind many that are right."""
_DAMAGE = "unrecognized data stream contents"
"""Pillow's word for pixels that contradict their format, such as a row of a PNG with a filter of no known type."""
_UNSUPPORTED_WORDS = ("cannot handle", "unsupported", "not supported", "unknown", "unrecogni")

_MEMORY_WORDS = "out of memory"
"""Pillow's, and libavif's."""
_DECODER_BYTES_PER_PIXEL = 20
"""More than any decoder takes beside the pixels that it leaves; that of JPEG 2000 takes most."""
_TIFF_MEMORY = "decoder error -9"
"""Pillow's number for a strip or tile that there is no memory for, and for one whose size makes no sense."""
_MOST_STRIP_BYTES = 2**31 - 1
"""What Pillow gives a strip or tile at most."""

JPEG_END = b"\xff\xd9"
_PNG_END = b"IEND\xaeB`\x82"

_IS_CUT: Mapping[str, Callable[[bytes], bool]] = MappingProxyType(
    {
        "JPEG": lambda data: not data.rstrip(b"\0").endswith(JPEG_END),
        "PNG": lambda data: data.rfind(_PNG_END) < 0,
        "GIF": lambda data: not data.rstrip(b"\0").endswith(b";"),
        "WEBP": lambda data: int.from_bytes(data[4:8], "little") + 8 > len(data),
        "BMP": lambda data: int.from_bytes(data[2:6], "little") > len(data),
    }
)
"""By format: whether the file's end, or a length in its header, shows that a part is missing."""


def is_cut(kind: str, data: bytes) -> bool:
    """Say whether a file of format `kind` visibly ends too early. Formats without a visible end never do."""
    check = _IS_CUT.get(kind)
    return check is not None and check(data)


@contextmanager
def rejecting(kind: str, data: bytes, *, is_header: bool = False, num_pixels: int = 0) -> Iterator[None]:
    """Turn every error inside the block, which decodes `data` of format `kind`, into a RejectError.

    What is packed must not depend on a host: a PackerError passes, and so does a MemoryError. Few decoders tell that
    memory ran out, so any error is taken for that where there is less than decoding `num_pixels` may take.
    """
    try:
        yield
    except (PackerError, MemoryError):
        raise
    # Decoders raise anything on mangled bytes: OSError, SyntaxError, struct.error, ValueError, ZeroDivisionError ...
    except Exception as error:
        notes = "; ".join([str(error) or type(error).__name__, *getattr(error, "__notes__", [])])
        _check_memory(error, f"{kind}: {notes}", num_pixels)
        raise RejectError(_reason(error, notes, kind, data, is_header), f"{kind}: {notes}") from error


def _check_memory(error: Exception, text: str, num_pixels: int) -> None:
    """Raise MemoryError where a decoder may have failed for lack of memory. Pixels that it left are still held."""
    if isinstance(error, Image.DecompressionBombError):
        return
    if _MEMORY_WORDS in str(error).lower():
        raise MemoryError(text) from error
    num_bytes = _MOST_STRIP_BYTES if str(error) == _TIFF_MEMORY else _DECODER_BYTES_PER_PIXEL * num_pixels
    try:
        bytes(num_bytes)  # Zeros that nobody looks at are only promised by the system, not filled in.
    except MemoryError:
        raise MemoryError(f"{text}; or the file is damaged: there are no {num_bytes // 10**6:,} MB to tell") from error


def _reason(error: Exception, text: str, kind: str, data: bytes, is_header: bool) -> RejectReason:
    lower = text.lower()
    if isinstance(error, Image.DecompressionBombError):
        return RejectReason.TOO_MANY_PIXELS
    if is_header and kind in _WEAK_SIGNATURES and _RARE_FIELDS not in lower:
        return RejectReason.NOT_AN_IMAGE
    if is_cut(kind, data):
        return RejectReason.TRUNCATED
    if _DAMAGE in lower:
        return RejectReason.CORRUPT
    if any(word in lower for word in _UNSUPPORTED_WORDS):
        return RejectReason.UNSUPPORTED
    if isinstance(error, EOFError | struct.error) or any(word in lower for word in _TRUNCATED_WORDS):
        return RejectReason.TRUNCATED
    return RejectReason.CORRUPT
