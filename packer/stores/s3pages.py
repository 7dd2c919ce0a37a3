"""Pages of a listing, parsed in one sweep: five times cheaper than boto3's own parser, which builds each object's tree.

A listing of a hundred million objects is a hundred thousand pages, and their parsing is most of its cost.
"""

from __future__ import annotations

import html
import re
from typing import Any
from urllib.parse import unquote_plus

from packer.stores.base import ObjectInfo

OBJECTS = "ShardpackObjects"
"""Key under which an answer has its objects, as ObjectInfo with whole keys."""
_CONTENTS = re.compile(rb"<Contents>.*</Contents>", re.DOTALL)
_KEY = re.compile(rb"<Key>([^<]*)</Key>")
_SIZE = re.compile(rb"<Size>(\d+)</Size>")
_ETAG = re.compile(rb"<ETag>([^<]*)</ETag>")


def parse_pages_ahead(client: Any) -> None:
    """Make a boto3 client's `list_objects_v2` answer with objects under OBJECTS in place of ``Contents``."""
    client.meta.events.register("before-parse.s3.ListObjectsV2", _take_objects)


def _take_objects(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    if response_dict["status_code"] != 200:
        return
    body: bytes = response_dict["body"]
    customized_response_dict[OBJECTS] = parse_objects(body)
    response_dict["body"] = _CONTENTS.sub(b"", body)


def parse_objects(body: bytes) -> list[ObjectInfo]:
    """Return the objects of a page.

    Raises:
        ValueError: an object lacks its key or size, or only some have an entity tag.
    """
    keys, sizes, etags = _KEY.findall(body), _SIZE.findall(body), _ETAG.findall(body)
    decode = _decode_url if b"<EncodingType>url</EncodingType>" in body else _decode_text
    if not etags:
        etags = [b""] * len(keys)
    return [
        ObjectInfo(decode(key), int(size), _decode_text(etag).strip('"') if b"&" in etag else etag.strip(b'"').decode())
        for key, size, etag in zip(keys, sizes, etags, strict=True)
    ]


def _decode_text(text: bytes) -> str:
    return html.unescape(text.decode())


def _decode_url(text: bytes) -> str:
    """Return a key that was sent with ``%`` and, for a blank, ``+``; what is not UTF-8 shows as lone surrogates."""
    if b"%" in text or b"+" in text or b"&" in text:
        return unquote_plus(_decode_text(text), errors="surrogateescape")
    return text.decode()
