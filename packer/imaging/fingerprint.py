"""Do two workers make the same bytes? A digest of what the transform makes of a few images that are built in.

It covers the samples, by the encoder that is asked for, and the counts of their pixels, which reach the manifest.
And it covers which formats Pillow was built to decode: a worker without AVIF would reject what another one packs.

The images are drawn with integers, so that only libraries and processor can make a difference: textures that the
decoder keeps whole or halves once, twice and three times; greyscale, CMYK, alpha, and a colour profile.
"""

from __future__ import annotations

import hashlib
import io
import platform
from collections.abc import Iterator

import msgspec
from PIL import Image, features

from packer.distributions import installed_version
from packer.imaging.transform import transform_image
from packer.imaging.values import EncoderFingerprint
from packer.specs import ImageSpec

_PERIOD = 1021
_DATE = slice(24, 36)
"""Where a colour profile's header has its date (ICC.1, section 7.2.1)."""
_TARGET_WIDTH = 24
_TARGET_HEIGHT = 20
_SCALES = (2, 6, 11, 22)
"""Source sides over the target's; decoders leave at least 2, so these are decoded at 1, 1/2, 1/4 and 1/8."""

_DECODERS = ("avif", "jpg", "jpg_2000", "libtiff", "webp", "zlib")
"""Pillow's names of the libraries that it decodes with where it was built with them; releases before 11.3 have no
AVIF."""


def encoder_fingerprint(spec: ImageSpec, *, sha256: str = "") -> EncoderFingerprint:
    """Return this process's fingerprint for the spec's fit, encoding and quality.

    Takes some milliseconds, unless `sha256` is the digest, which was found before.
    """
    return EncoderFingerprint(
        sha256=sha256 or encoder_digest(spec),
        pillow=installed_version("pillow") or "none",
        libjpeg_turbo=features.version("libjpeg_turbo") or "none",
        simplejpeg=installed_version("simplejpeg") or "none",
        resizer=installed_version("cykooz-resizer") or "none",
        machine=platform.machine(),
        decoders=_find_decoders(),
    )


def encoder_digest(spec: ImageSpec) -> str:
    """Return the fingerprint's digest alone."""
    # Small targets for whatever size was asked, and no limit that would reject the images themselves.
    sides = {} if spec.keeps_all else {"width": _TARGET_WIDTH, "height": _TARGET_HEIGHT}
    small = msgspec.structs.replace(spec, max_pixels=10**9, **sides)
    digest = hashlib.sha256()
    for source in _sources():
        sample = transform_image(source, small)
        digest.update(sample.encoded)
        digest.update(msgspec.json.encode(sample.histogram))
    digest.update(" ".join(_find_decoders()).encode())
    return digest.hexdigest()


def _find_decoders() -> tuple[str, ...]:
    known = {*features.modules, *features.codecs}
    return tuple(name for name in _DECODERS if name in known and features.check(name))


def _sources() -> Iterator[bytes]:
    """Yield the built-in images as files."""
    for scale in _SCALES:
        yield _file(_texture("RGB", _TARGET_WIDTH * scale + 1, _TARGET_HEIGHT * scale + 3), "JPEG")
    for mode in ("L", "CMYK"):
        yield _file(_texture(mode, 67, 53), "JPEG")
    yield _file(_texture("RGBA", 41, 37), "PNG")
    yield _file(_texture("RGB", 9, 7), "PNG", _swapped_profile())


def _texture(mode: str, width: int, height: int) -> Image.Image:
    num_bytes = width * len(mode)
    line = bytes((i * i * 31 // 64 + i % 17 * 5) % 256 for i in range(_PERIOD)) * (num_bytes // _PERIOD + 2)
    offsets = (row * 37 % _PERIOD for row in range(height))
    return Image.frombytes(mode, (width, height), b"".join(line[start : start + num_bytes] for start in offsets))


def _file(image: Image.Image, kind: str, icc_profile: bytes = b"") -> bytes:
    file = io.BytesIO()
    image.save(file, kind, icc_profile=icc_profile)
    return file.getvalue()


def _swapped_profile() -> bytes:
    """Return sRGB with its red and blue primaries exchanged: a profile that every pixel shows."""
    from PIL import ImageCms  # Loads LittleCMS.

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # LittleCMS writes the time of day, and what is kept as it is would differ from one second to the next.
    profile = profile[: _DATE.start] + bytes(12) + profile[_DATE.stop :]
    red, blue = b"rXYZ", b"bXYZ"
    return profile.replace(red, b"\0tmp", 1).replace(blue, red, 1).replace(b"\0tmp", blue, 1)
