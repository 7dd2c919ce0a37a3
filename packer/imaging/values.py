"""Values of imaging that others hold without loading an image library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta

from packer.imaging.field_geometry import PictureMove


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformedImage:
    """An encoded sample and what the manifest counts of it."""

    encoded: bytes
    image_format: str
    """``jpeg``, ``png`` or ``webp``; of an image that was kept any format that decodes, such as ``gif``."""
    width: int
    height: int
    """Width and height in pixels, as they are stored in `encoded`."""
    channels: int
    """3, or 4 with alpha; of an image that was kept what its file stores: 1 for greyscale and palettes."""
    move: PictureMove | None
    """Where its pixels come from, for what lies in the picture; None of one that is not upright and was kept so."""
    source: tuple[int, int]
    """Width and height of the source in pixels, as its file stores them."""
    histogram: tuple[int, ...]
    """Colours before encoding by channel and level: 256 counts for each of red, green and blue, alpha left out."""


class EncoderFingerprint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the image libraries of this process make of a built-in image set, and which formats they decode.

    Equal digests mean equal bytes, and equal rejects.
    """

    sha256: str
    """Digest of the encodings, as hex digits."""
    pillow: str
    libjpeg_turbo: str
    """Pillow's own, which encodes."""
    simplejpeg: str
    """Decodes."""
    resizer: str
    """Version of cykooz-resizer."""
    machine: str
    """Processor architecture, such as x86_64."""
    decoders: tuple[str, ...] = ()
    """Libraries that Pillow decodes with, by its own names, such as avif."""
    made_by: Annotated[str | msgspec.UnsetType, Meta(extra={"since": 2})] = msgspec.UNSET
    """Library and version that decide the bytes of a shard beside its images; set for containers that have such."""
    images_sha256: Annotated[str | msgspec.UnsetType, Meta(extra={"since": 2})] = msgspec.UNSET
    """Digest of the encodings alone, where `sha256` is of `made_by`, too."""
