"""What Pillow gets wrong about TIFFs, mended between their header and their pixels."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from PIL import ImageFile

_NATIVE: Mapping[str, str] = MappingProxyType({"F;32BF": "F;32NF", "I;32BS": "I;32NS", "I;16BS": "I;16NS"})
"""By the raw mode of samples whose high byte comes first: the one of samples as this machine has them."""


def expect_native_order(image: ImageFile.ImageFile) -> None:
    """Have the samples that libtiff returns taken as they are: in this machine's order, whatever the file's is.

    Pillow knows that of 16-bit samples without a sign only, and would turn the bytes of others round once more.
    """
    image.tile = [
        tile._replace(args=(_NATIVE.get(tile.args[0], tile.args[0]), *tile.args[1:]))
        if tile.codec_name == "libtiff" and isinstance(tile.args, tuple)
        else tile
        for tile in image.tile
    ]
