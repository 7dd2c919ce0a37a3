"""The splitting of a listing, over pages that a table in memory gives."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packer.stores.base import ObjectInfo
from packer.stores.s3listing import list_objects
from packer.stores.s3pages import OBJECTS, PageError, parse_objects


class Pages:
    """Answers as S3 does: keys and common prefixes in order, cut into pages."""

    def __init__(self, keys: list[str], *, page_size: int = 3) -> None:
        self._page_size = page_size
        self._keys = sorted(keys)
        self.num_pages = 0

    def load(self, prefix: str, delimiter: str, token: str) -> Any:
        self.num_pages += 1
        entries: list[tuple[str, bool]] = []
        for key in self._keys:
            if key.startswith(prefix):
                head, found, _ = key[len(prefix) :].partition("/")
                folded = bool(delimiter and found)
                entry = (prefix + head + "/" if folded else key, folded)
                if entry not in entries:
                    entries.append(entry)
        start = int(token or 0)
        page = entries[start : start + self._page_size]
        return {
            OBJECTS: [ObjectInfo(name, 1) for name, folded in page if not folded],
            "CommonPrefixes": [{"Prefix": name} for name, folded in page if folded],
            "IsTruncated": start + self._page_size < len(entries),
            "NextContinuationToken": str(start + self._page_size),
        }


@given(st.sets(st.text("ab/", min_size=1, max_size=8), max_size=60), st.text("ab/", max_size=3))
def test_every_key_below_a_prefix_is_listed_once(keys: set[str], prefix: str) -> None:
    found = [info.key for info in list_objects(Pages(list(keys)).load, prefix)]
    assert sorted(found) == sorted(key for key in keys if key.startswith(prefix))


def test_a_prefix_without_folders_is_one_chain() -> None:
    pages = Pages([f"flat/{number}" for number in range(10)])
    assert len(list(list_objects(pages.load, "flat/"))) == 10
    assert pages.num_pages == 4


def test_more_folders_than_run_side_by_side_are_listed_flat() -> None:
    pages = Pages([f"c{number:03d}/deep/x" for number in range(300)], page_size=1000)
    assert len(list(list_objects(pages.load, ""))) == 300
    assert pages.num_pages <= 1 + 300 + 2 * 16


def test_pages_are_parsed() -> None:
    def page(encoding: str, key: str) -> bytes:
        return (
            f"<ListBucketResult>{encoding}<Contents><Key>{key}</Key><LastModified>2026-01-01</LastModified>"
            f"<ETag>&quot;0123&quot;</ETag><Size>12</Size></Contents></ListBucketResult>"
        ).encode()

    assert parse_objects(page("<EncodingType>url</EncodingType>", "a%2Fb+c%2B%C3%BC")) == [
        ObjectInfo("a/b c+ü", 12, "0123")
    ]
    assert parse_objects(page("", "a+%2F&amp;b")) == [ObjectInfo("a+%2F&b", 12, "0123")]
    assert parse_objects(b"<ListBucketResult/>") == []
    for damaged in (page("", "a").replace(b"<Size>12</Size>", b""), b"<html/>", b""):
        with pytest.raises(PageError):
            parse_objects(damaged)
