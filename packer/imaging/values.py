"""Values of imaging that others hold without loading an image library."""

from __future__ import annotations

import msgspec


class EncoderFingerprint(msgspec.Struct, frozen=True, kw_only=True):
    """What the image libraries of this process make of a built-in image set; equal digests mean equal bytes."""

    sha256: str
    """Digest of the encodings, as hex digits."""
    pillow: str
    libjpeg_turbo: str
    resizer: str
    """Version of cykooz-resizer."""
    machine: str
    """Processor architecture, such as x86_64."""
