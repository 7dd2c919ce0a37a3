import pytest

from packer.formats.crc32c import masked_crc32c


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
