"""Text on its way to a terminal or a log: the one place that makes it safe to be shown.

Names of files, members, columns and splits come from outside, and so do addresses with a signature in them. Errors and
results carry them as they are; whatever prints them passes them through here.
"""

from __future__ import annotations

import re

_MAX_CHARS = 4000
"""A longer line hides what it says."""
_URL_QUERY = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)(://[^\s?#]*)[?#](\S*)")
_URL_USER = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)[^\s/@]*:[^\s/@]*@")
_SECRET = re.compile(r"(sig|signature|token|secret|credential|password|key|policy|expires)[a-z-]*=", re.IGNORECASE)
_XML = re.compile(r"<.*>", re.DOTALL)
_CLOSING = re.compile(r"""['"`)\],;:.]*$""")
_PLAIN_SCHEMES = frozenset({"s3", "s3a", "s3n", "gs", "gcs", "file", "memory"})
"""In whose keys a question mark is a character like any other."""


def shown(text: str) -> str:
    """Return text as one line that can be printed anywhere.

    The query of a URL becomes `...`, since that of a presigned one lets whoever reads it have the object; so does a
    user with a password. Characters that move the cursor, end lines, reorder text or cannot be seen are escaped as
    Python does, and a text of more than 4,000 characters loses its middle.
    """
    text = without_secrets(text)
    if len(text) > _MAX_CHARS:
        half = _MAX_CHARS // 2
        text = f"{text[:half]} ... {len(text) - 2 * half:,} characters more ... {text[-half:]}"
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return ``1 file`` or ``2,000 files``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def format_size(num_bytes: int) -> str:
    """Return ``4.2 MB``; 1 MB = 10**6 bytes."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if num_bytes >= size:
            return f"{num_bytes / size:.1f} {unit}"
    return f"{num_bytes} B"


def without_secrets(text: str) -> str:
    """Return text whose URLs have neither query nor password."""
    return _URL_QUERY.sub(_hide_query, _URL_USER.sub(r"\1...@", text)) if "://" in text else text


def cause_of(error: BaseException) -> str:
    """Return what a library's error says, for a log: without secrets of URLs and without answers in XML.

    Answers of S3 repeat access keys and signatures.
    """
    text = _XML.sub("<...>", without_secrets(str(error)))
    return f"{type(error).__name__}: {text}"


def shown_json(text: str) -> str:
    """Return a JSON document with JSON's own escapes for all characters in its texts that are not safe to print."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == "\n" else _escape_json(char) for char in text)


def _escape(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode()


def _escape_json(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def _hide_query(url: re.Match[str]) -> str:
    scheme, address, query = url.groups()
    if scheme.lower() in _PLAIN_SCHEMES and not _SECRET.search(query):
        return url[0]
    closing = _CLOSING.search(query)
    return f"{scheme}{address}?...{closing[0] if closing else ''}"
