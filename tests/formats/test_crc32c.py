import random
from collections.abc import Iterator

import pytest

from packer.formats.crc32c import crc32c, masked_crc32c


@pytest.mark.parametrize(
    ("data", "crc"),
    [  # RFC 3720, appendix B.4, and the check value of the polynomial
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
    ],
)
def test_crc32c_published_vectors(data, crc):
    rotated = crc >> 15 | crc << 17 & 0xFFFFFFFF
    assert masked_crc32c(data) == (rotated + 0xA282EAD8) % 2**32


def test_masked_crc32c_rotates_and_adds_modulo_2_32():
    assert masked_crc32c(b"") == 0xA282EAD8
    assert masked_crc32c(b"hello") == int.from_bytes(bytes.fromhex("bb1f1c19"), "little")


def test_crc32c_any_length_and_alignment_equals_the_polynomial_division():
    # The library works in blocks of many bytes and finishes their remainders by other ways.
    data = random.Random(0).randbytes(40_007)
    expected = list(_remainders(data[7:]))
    view = memoryview(data)
    for length in (*range(1200), 4096, 16_383, 16_384, 40_000):
        assert crc32c(view[7 : 7 + length]) == expected[length], f"{length} bytes"
        assert crc32c(data[7 : 7 + length]) == expected[length], f"{length} bytes"


def _remainders(data: bytes) -> Iterator[int]:
    """Yield the CRC-32C of the first 0, 1, 2, ... bytes, bit by bit."""
    crc = 0xFFFFFFFF
    yield crc ^ 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        yield crc ^ 0xFFFFFFFF
