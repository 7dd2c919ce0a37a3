"""The masked form of CRC-32C (Castagnoli, reflected polynomial 0x82F63B78) that TFRecord stores.

TFRecord masks its checksums, as the CRC of data that itself holds CRCs is weak: the CRC is rotated right by 15 bits
and a constant is added, modulo 2**32.
"""

from __future__ import annotations

import fastcrc

crc32c = fastcrc.crc32.iscsi
"""CRC-32C of any buffer, in [0, 2**32), under the name that catalogues of CRCs have for it."""

MASK_DELTA = 0xA282EAD8


def masked_crc32c(data: bytes | memoryview) -> int:
    """Return the CRC-32C of `data` as TFRecord stores it, in [0, 2**32)."""
    crc = crc32c(data)
    return (crc >> 15 | crc << 17) + MASK_DELTA & 0xFFFFFFFF
