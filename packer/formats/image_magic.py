"""Names an image's format by its first bytes."""

from __future__ import annotations

_PREFIXES = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"BM", "bmp"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
)


def sniff_image_format(encoded: bytes) -> str:
    """Return ``jpeg``, ``png``, ``webp``, ``gif``, ``bmp`` or ``tiff``; empty for anything else."""
    if encoded[:4] == b"RIFF" and encoded[8:12] == b"WEBP":
        return "webp"
    return next((name for prefix, name in _PREFIXES if encoded.startswith(prefix)), "")
