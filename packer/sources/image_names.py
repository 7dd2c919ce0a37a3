"""Which names are images, which are passed over, and what a member of an archive may be called. Pure."""

from __future__ import annotations

import re

# fmt: off
IMAGE_SUFFIXES = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo", ".png", ".apng", ".webp", ".bmp", ".dib", ".gif", ".tif",
    ".tiff", ".jp2", ".jpx", ".jpf", ".j2k", ".j2c", ".jpc", ".avif", ".avifs", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm",
})
# fmt: on
"""Lower-case endings of the files that are taken for images: those of the formats that are decoded."""

# fmt: off
_SYSTEM_NAMES = frozenset({
    "__MACOSX",  # macOS, in zips
    "Thumbs.db", "desktop.ini", "System Volume Information", "$RECYCLE.BIN", "$Recycle.Bin",  # Windows
    "@eaDir", "#recycle",  # Synology: thumbnails, which are named as images, and the recycle bin
    "lost+found",  # in the root of ext4, and for root alone to read
})
# fmt: on
_NUM_EXAMPLES = 3


def is_image(name: str) -> bool:
    """Say whether a file's name, or a path, ends as an image's does, in any case of letters."""
    return name[name.rfind(".") :].lower() in IMAGE_SUFFIXES


def is_hidden(name: str) -> bool:
    """Say whether one part of a path is hidden or belongs to an operating system."""
    return name.startswith(".") or name in _SYSTEM_NAMES


def clean_member(name: str) -> str:
    """Return a member's name with single ``/`` between its parts and without ``.`` parts; empty for the top itself.

    Raises:
        ValueError: what is wrong with it, without naming it: it leads out of the archive or cannot be a key.
    """
    if "\0" in name:
        raise ValueError("holds a NUL character")
    if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:[/\\]", name):
        raise ValueError("is absolute")
    if ".." in name and ".." in re.split(r"[/\\]", name):
        raise ValueError("leads out of the archive")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ValueError("is not UTF-8") from None
    if "//" in name or "./" in name or name.endswith(("/", "/.")) or name == ".":
        return "/".join(part for part in name.split("/") if part not in ("", "."))
    return name


def quote(names: list[str]) -> str:
    """Return the first few names for a message."""
    return ", ".join(repr(name) for name in names[:_NUM_EXAMPLES]) + ", ..." * (len(names) > _NUM_EXAMPLES)
