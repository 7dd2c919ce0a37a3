"""The compiled part: a small library on top of libjpeg-turbo that decodes a part of a JPEG, called through ctypes.

A wheel for this machine, or `make crop-decoder`, puts it beside this file; everything works without it. Calls release
the GIL. See jpeg_region.c.
"""

from __future__ import annotations

import ctypes
import enum
import functools
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from packer.loading.crop_decoder import CropWindow, Pixels

LIBRARY_PATH = Path(__file__).with_name("libjpegregion.so")

_log = logging.getLogger(__name__)
_CHANNELS = 3
_SCALE_DENOMINATOR = 8
_MESSAGE_BYTES = 200
"""JMSG_LENGTH_MAX of libjpeg."""
_FIRST_BUFFER_BYTES = 1 << 20

_Bytes: TypeAlias = npt.NDArray[np.uint8]


class RegionError(ValueError):
    """A JPEG that does not decode, or a window outside of it."""


class UnsupportedJpegError(RegionError):
    """A JPEG that the compiled part leaves to other decoders: CMYK, arithmetic coding, 12 bits, lossless."""


class _Status(enum.IntEnum):
    OK = 0
    DAMAGED = 1
    UNSUPPORTED = 2
    NO_MEMORY = 3
    NO_ROOM = 4
    BAD_WINDOW = 5


class _Window(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int32) for name in ("top", "left", "height", "width")]


class _Request(ctypes.Structure):
    _fields_ = [("window", _Window), ("eighths", ctypes.c_int32)]


@dataclass(frozen=True, slots=True)
class Region:
    """Decoded pixels: all of the wanted window, and some pixels around it."""

    pixels: Pixels
    """A view of memory that the next picture overwrites."""
    top: int
    """First row of `pixels` in the shrunken picture."""
    left: int
    """First column of `pixels` in the shrunken picture."""


@functools.cache
def load_library() -> ctypes.CDLL | None:
    """Return the compiled part; None if there is none for this machine."""
    if not LIBRARY_PATH.exists():
        return None
    try:
        library = ctypes.CDLL(str(LIBRARY_PATH))
    except OSError as error:  # built for another kind of machine, or for a newer C library
        _log.warning("%s cannot be loaded, so pictures are decoded whole: %s", LIBRARY_PATH, error)
        return None
    data = (ctypes.c_void_p, ctypes.c_uint64)
    pixels = (ctypes.c_void_p, ctypes.c_uint64)
    library.packer_jpeg_region.argtypes = (*data, ctypes.c_void_p, *pixels, ctypes.c_void_p, ctypes.c_void_p)
    library.packer_jpeg_library.restype = ctypes.c_char_p
    return library


class JpegRegions:
    """Decodes parts of JPEGs into a buffer that it reuses; for one thread."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._message = ctypes.create_string_buffer(_MESSAGE_BYTES)
        self._request, self._decoded = _Request(), _Window()
        # Addresses are computed once, since these objects live as long as this one.
        self._at_message = ctypes.addressof(self._message)
        self._at_request, self._at_decoded = ctypes.addressof(self._request), ctypes.addressof(self._decoded)
        self._buffer = np.empty(_FIRST_BUFFER_BYTES, np.uint8)

    @property
    def library_name(self) -> str:
        """Name and version of the library that decodes, such as ``libjpeg-turbo 2.1.5``."""
        name: bytes = self._library.packer_jpeg_library()
        return name.decode()

    def decode(self, encoded: bytes | memoryview, window: CropWindow, *, shrink_by: int) -> Region:
        """Return pixels that contain a window of the picture, shrunk by 1, 2, 4 or 8 in width and height.

        The pixels equal those of the whole picture decoded at the same scale.

        Args:
            window: in pixels of the picture at full size.

        Raises:
            UnsupportedJpegError: the picture needs a decoder of whole pictures.
            RegionError: the picture is damaged above the window's last row, or the window is not inside the picture.
            MemoryError: there is not enough memory.
        """
        data = np.frombuffer(encoded, np.uint8)
        wanted = self._request.window
        wanted.top, wanted.left, wanted.height, wanted.width = window.top, window.left, window.height, window.width
        self._request.eighths = _SCALE_DENOMINATOR // shrink_by
        status = self._call(data)
        decoded = self._decoded
        if status == _Status.NO_ROOM:
            self._buffer = np.empty(decoded.height * decoded.width * _CHANNELS, np.uint8)
            status = self._call(data)
        self._check(status)
        height, width = decoded.height, decoded.width
        pixels = self._buffer[: height * width * _CHANNELS].reshape(height, width, _CHANNELS)
        return Region(pixels, decoded.top, decoded.left)

    def _call(self, data: _Bytes) -> int:
        buffer = self._buffer
        status: int = self._library.packer_jpeg_region(
            *(data.ctypes.data, data.size, self._at_request),
            *(buffer.ctypes.data, buffer.size, self._at_decoded, self._at_message),
        )
        return status

    def _check(self, status: int) -> None:
        if status == _Status.OK:
            return
        text = self._message.value.decode("ascii", "replace")
        if status == _Status.NO_MEMORY:
            raise MemoryError(f"JPEG: {text}")
        raise UnsupportedJpegError(text) if status == _Status.UNSUPPORTED else RegionError(text)
