"""The one boundary at which whatever a decoder raises becomes a RejectError with a reason."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from PIL import Image

from packer.errors import PackerError
from packer.imaging.rejects import RejectError, RejectReason

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


@dataclass(frozen=True, slots=True)
class FileFormat:
    """What tells the faults of one format's files apart."""

    name: str
    """Pillow's name."""
    is_cut: Callable[[bytes], bool] = lambda data: False
    """Says whether a file visibly ends too early: by its end, or by a length in its header."""
    has_weak_signature: bool = False
    """Any text may begin as its files do, so an unreadable header means that the file is no image."""


@contextmanager
def rejecting(form: FileFormat, data: bytes, *, is_header: bool = False, num_pixels: int = 0) -> Iterator[None]:
    """Turn every error inside the block, which decodes `data` of one format, into a RejectError.

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
        text = f"{form.name}: {notes}"
        _check_memory(error, text, num_pixels)
        raise RejectError(_reason(error, notes, form, data, is_header), text) from error


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


def _reason(error: Exception, text: str, form: FileFormat, data: bytes, is_header: bool) -> RejectReason:
    lower = text.lower()
    if isinstance(error, Image.DecompressionBombError):
        return RejectReason.TOO_MANY_PIXELS
    if is_header and form.has_weak_signature and _RARE_FIELDS not in lower:
        return RejectReason.NOT_AN_IMAGE
    if form.is_cut(data):
        return RejectReason.TRUNCATED
    if _DAMAGE in lower:
        return RejectReason.CORRUPT
    if any(word in lower for word in _UNSUPPORTED_WORDS):
        return RejectReason.UNSUPPORTED
    if isinstance(error, EOFError | struct.error) or any(word in lower for word in _TRUNCATED_WORDS):
        return RejectReason.TRUNCATED
    return RejectReason.CORRUPT
