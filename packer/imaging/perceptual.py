"""What a picture looks like, in 64 bits: the perceptual hash of the library ImageHash.

`imagehash.phash`: the picture in grey, 32 x 32, as its lowest 8 x 8 frequencies (DCT), each above their median or not.
Pictures that look alike differ in few bits, whatever their size and compression.
"""

from __future__ import annotations

import io
import warnings

from PIL import Image, ImageOps, ImageStat

from packer.extras import require_extra

HASH_BYTES = 8
_DRAFT_PX = 128
"""Four times what the hash takes; JPEGs are decoded at no more than they need for it."""
_FLAT = 3.0
"""Standard deviation of the brightness (0 to 255) below which the bits are those of noise."""


def perceptual_hash(encoded: bytes, *, max_pixels: int) -> bytes | None:
    """Return 8 bytes for an image file, upright; None where it does not decode, is too large, or shows nothing.

    Raises MissingExtraError where the library is not installed.
    """
    imagehash = require_extra("imagehash", "near", purpose="`near_duplicates`")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            source = Image.open(io.BytesIO(encoded))
            if source.width * source.height > max_pixels:
                return None
            source.draft("L", (_DRAFT_PX, _DRAFT_PX))
            grey = _over_white(ImageOps.exif_transpose(source))
    except Exception:  # whatever a decoder raises for a damaged file, which packing will name
        return None
    if ImageStat.Stat(grey).stddev[0] < _FLAT:
        return None
    bits: list[bool] = imagehash.phash(grey).hash.ravel().tolist()
    return sum(bit << position for position, bit in enumerate(bits)).to_bytes(HASH_BYTES, "little")


def _over_white(image: Image.Image) -> Image.Image:
    if "A" not in image.getbands() and "transparency" not in image.info:
        return image.convert("L")
    transparent = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", transparent.size, "white"), transparent).convert("L")
