"""One image file, opened: what all formats share, and how Pillow decodes one of them.

Every format is a class here or in a module of its own, and says how its files are recognised, opened, checked, loaded
and turned. `decoding.decode_image` asks these things in one order, whatever the format.
"""

from __future__ import annotations

import importlib
import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeAlias

from PIL import Image, ImageFile

from packer.imaging.faults import FileFormat, rejecting
from packer.imaging.geometry import Extent, Size
from packer.imaging.library_messages import without_warnings
from packer.imaging.modes import to_resampled_mode
from packer.imaging.orientation import find_orientation
from packer.imaging.rejects import RejectError, RejectReason

DraftRequest: TypeAlias = Callable[[Size, int], Size]
"""From the size and the orientation of a header to the size in pixels that a decoder may shrink to."""

_PREFIX_BYTES = 16
_TEXT_EXIF = "Raw profile type exif"
_TEXT_XMP = "XML:com.adobe.xmp"


@dataclass(frozen=True, slots=True)
class StoredForm:
    """What an image's own file holds."""

    image_format: str
    """Name in the samples' fields, such as ``jpeg``."""
    size: Size
    """Width and height of its rows and columns, before any orientation."""
    channels: int
    is_plain: bool
    """JPEG, PNG or WebP, and one frame of RGB at 8 bits with no transparent colour."""


@dataclass(frozen=True, slots=True)
class LoadedPixels:
    """A first frame as its decoder left it."""

    pixels: Image.Image
    """Of mode L, RGB, RGBX, RGBa (premultiplied) or CMYK."""
    extent: Extent
    """What the source measures in `pixels`: its size, unless the decoder shrank it."""


class OpenedImage(ABC):
    """An image file whose header has been read. All methods raise RejectError for what cannot become a sample."""

    @classmethod
    @abstractmethod
    def open(cls, data: bytes) -> OpenedImage | None:
        """Read the header of a file of this format; return None for the bytes of another one."""

    @property
    @abstractmethod
    def size(self) -> Size:
        """Width and height in pixels of the whole picture; after `load` as its pixels lie."""

    @property
    @abstractmethod
    def stored(self) -> StoredForm:
        """What the file holds, whether it is loaded or not."""

    @abstractmethod
    def check_end(self) -> None:
        """Look whether the end of the file is there, for a format whose decoder does without."""

    @abstractmethod
    def load(self, draft_request: DraftRequest, *, keep_alpha: bool) -> LoadedPixels:
        """Decode the first frame; transparency stands on white, or stays where `keep_alpha` is set."""

    @property
    @abstractmethod
    def orientation(self) -> int:
        """How the loaded pixels must be turned, as an EXIF orientation of 1 to 8."""

    @property
    @abstractmethod
    def icc_profile(self) -> bytes | None:
        """The embedded colour profile of the loaded pixels."""


class PillowImage(OpenedImage):
    """A file that Pillow decodes.

    Pillow's registry is not searched: neither a plug-in that another library registered nor one that runs a program
    (EPS) ever sees a file, and no global limit of pixels applies.
    """

    format: ClassVar[FileFormat]
    module: ClassVar[str]
    """The module of Pillow that decodes it."""
    _can_be_plain: ClassVar[bool] = False
    """Every reader of samples decodes this format."""

    def __init__(self, data: bytes, image: ImageFile.ImageFile) -> None:
        self._data = data
        self._image = image
        self._stored = self._find_stored_form()

    @classmethod
    def open(cls, data: bytes) -> Self | None:
        """See `OpenedImage.open`."""
        factory = cls._find_factory(data)
        if factory is None:
            return None
        with cls._decoding(data, is_header=True, num_pixels=cls._claimed_pixels(data)):
            image = factory(io.BytesIO(data), "")
        return cls(data, image)

    @property
    def size(self) -> Size:
        return self._image.size

    @property
    def stored(self) -> StoredForm:
        return self._stored

    @property
    def orientation(self) -> int:
        return self._find_orientation()

    @property
    def icc_profile(self) -> bytes | None:
        return self._image.info.get("icc_profile")

    def check_end(self) -> None:
        """See `OpenedImage.check_end`; most decoders need no help."""

    def load(self, draft_request: DraftRequest, *, keep_alpha: bool) -> LoadedPixels:
        """See `OpenedImage.load`; nothing is shrunk."""
        pixels = self._load_whole(keep_alpha=keep_alpha)
        return LoadedPixels(pixels, extent=self.size)

    def _load_whole(self, *, keep_alpha: bool) -> Image.Image:
        num_pixels = self._image.width * self._image.height
        with self._decoding(self._data, num_pixels=num_pixels):
            return to_resampled_mode(self._load_frame(), keep_alpha=keep_alpha)

    def _load_frame(self) -> Image.Image:
        """Return the first frame as Pillow has it; `self._image` as a rule."""
        self._image.load()
        return self._image

    def _find_orientation(self) -> int:
        info = self._image.info
        return find_orientation(info.get("exif") or info.get(_TEXT_EXIF), info.get(_TEXT_XMP) or info.get("xmp"))

    def _find_stored_form(self) -> StoredForm:
        image = self._image
        return StoredForm(
            image_format=self.format.name.lower(),
            size=self._find_stored_size(),
            channels=len(image.getbands()),
            is_plain=self._can_be_plain
            and image.mode == "RGB"
            and "transparency" not in image.info
            and self._has_plain_frame(),
        )

    def _find_stored_size(self) -> Size:
        return self._image.size

    def _has_plain_frame(self) -> bool:
        """Say whether a file of RGB holds one frame of 8 bits."""
        return not getattr(self._image, "is_animated", False)

    @classmethod
    def _claimed_pixels(cls, data: bytes) -> int:
        """Return the number of pixels that Pillow allocates to read the header; 0 where that is none."""
        return 0

    @classmethod
    @contextmanager
    def _decoding(cls, data: bytes, *, is_header: bool = False, num_pixels: int = 0) -> Iterator[None]:
        """Turn whatever a decoder raises inside the block into a RejectError, and keep it quiet."""
        with without_warnings, rejecting(cls.format, data, is_header=is_header, num_pixels=num_pixels):
            yield

    @classmethod
    def _find_factory(cls, data: bytes) -> Callable[[io.BytesIO, str], Any] | None:
        """Return what opens a file that begins as one of this format. Raises RejectError where Pillow lacks a library.

        Where Pillow lacks the module, no file is of this format.
        """
        if cls.format.name not in Image.OPEN:
            try:
                importlib.import_module(f"PIL.{cls.module}")
            except ModuleNotFoundError:  # AVIF came with Pillow 11.3.
                return None
        factory, accept = Image.OPEN[cls.format.name]
        verdict = accept(data[:_PREFIX_BYTES]) if accept else False
        if isinstance(verdict, str):
            raise RejectError(RejectReason.UNSUPPORTED, f"{cls.format.name}: {verdict}")
        return factory if verdict else None
