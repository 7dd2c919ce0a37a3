"""The masked form of CRC-32C (Castagnoli, reflected polynomial 0x82F63B78) that TFRecord stores.

TFRecord masks its checksums, as the CRC of data that itself holds CRCs is weak: the CRC is rotated right by 15 bits
and a constant is added, modulo 2**32.
"""

from __future__ import annotations

import google_crc32c

_MASK_DELTA = 0xA282EAD8
_value = google_crc32c.value


def masked_crc32c(data: bytes | memoryview) -> int:
    """Return the CRC-32C of `data` as TFRecord stores it, in [0, 2**32)."""
    # The C function takes bytes alone.
    crc: int = _value(data if data.__class__ is bytes else bytes(data))
    return (crc >> 15 | crc << 17) + _MASK_DELTA & 0xFFFFFFFF
