"""The cutting of a listing into ranges, over pages that a table in memory gives, and over those of a server."""

import bisect
import os
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packer.stores import s3listing
from packer.stores.open_store import open_store
from packer.stores.s3client import connect
from packer.stores.s3listing import Page, list_objects
from packer.stores.s3pages import OBJECTS, PageError, WebPageError, parse_objects
from packer.stores.store import ObjectInfo
from tests.stores.conftest import Bucket


class Pages:
    """Answers as S3 does: keys and common prefixes in order, cut into pages."""

    def __init__(self, keys: Iterable[str], *, page_size: int = 1000, knows_start: bool = True) -> None:
        self._page_size = page_size
        self._keys = sorted(keys, key=os.fsencode)
        self._ranks = [os.fsencode(key) for key in self._keys]
        self._knows_start = knows_start
        self.num_pages = 0

    def load(self, page: Page) -> Any:
        self.num_pages += 1
        start = page.token or (page.start if self._knows_start else "")
        found: dict[str, bool] = {}
        for name, is_folder in self._iter_names(page, start):
            if len(found) == self._page_size:
                last = next(reversed(found))
                return self._answer(found, token=last + "\U0010ffff" * found[last])
            found[name] = is_folder
        return self._answer(found)

    def _iter_names(self, page: Page, start: str) -> Iterator[tuple[str, bool]]:
        at = bisect.bisect_right(self._ranks, os.fsencode(start)) if start else 0
        at = max(at, bisect.bisect_left(self._ranks, os.fsencode(page.prefix)))
        while at < len(self._keys) and self._keys[at].startswith(page.prefix):
            key = self._keys[at]
            head, is_below, _ = key[len(page.prefix) :].partition("/")
            if page.delimiter and is_below:
                folder = f"{page.prefix}{head}/"
                yield folder, True
                at = bisect.bisect_left(self._ranks, os.fsencode(folder[:-1] + "0"))  # which comes next after "/"
            else:
                yield key, False
                at += 1

    def _answer(self, found: dict[str, bool], token: str = "") -> Any:
        return {
            OBJECTS: [ObjectInfo(name, 1) for name, is_folder in found.items() if not is_folder],
            "CommonPrefixes": [{"Prefix": name} for name, is_folder in found.items() if is_folder],
            "IsTruncated": bool(token),
            "NextContinuationToken": token,
        }


def listed(pages: Pages, prefix: str = "") -> list[str]:
    return sorted(info.key for info in list_objects(pages.load, prefix, where="s3://b"))


names = st.text("ab/0\u00e4\U00010000\uffff", min_size=1, max_size=8)


@settings(max_examples=150, deadline=None)
@given(keys=st.sets(names, max_size=80), prefix=st.text("ab/", max_size=3), data=st.data())
def test_every_key_below_a_prefix_is_listed_once(keys: set[str], prefix: str, data: st.DataObject) -> None:
    pages = Pages(keys, page_size=data.draw(st.integers(1, 5)), knows_start=data.draw(st.booleans()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(s3listing, "_LONG_PAGES", data.draw(st.integers(0, 2)))
        patch.setattr(s3listing, "_NUM_CHAINS", data.draw(st.integers(2, 16)))
        patch.setattr(s3listing, "_FREE_EXTRA", 10_000)
        assert listed(pages, prefix) == sorted(key for key in keys if key.startswith(prefix))


def test_keys_that_are_not_utf8() -> None:
    keys = [f"a\udce4/{number}" for number in range(50)] + [f"b/{number}" for number in range(50)]
    assert listed(Pages(keys, page_size=3)) == sorted(keys)


@pytest.mark.slow
@pytest.mark.parametrize(
    "keys",
    [
        [f"products/{number}/main.jpg" for number in range(100_000)],
        [f"c{number % 1000:03d}/{number // 1000}.jpg" for number in range(100_000)],
        [f"c{number % 10_000:04d}/{number // 10_000}.jpg" for number in range(100_000)],
        [f"{number}.jpg" for number in range(100_000)],
        ["/".join(f"{number:05d}") + ".jpg" for number in range(100_000)],
        [f"{'deep/' * 20}{number % 3}/{number}.jpg" for number in range(100_000)],
        [f"train/c{number % 500}/{number}.jpg" for number in range(90_000)] + [f"z{n}.jpg" for n in range(10_000)],
    ],
    ids=["tiny folders", "classes", "many classes", "flat", "tree", "deep", "train"],
)
def test_requests_stay_near_those_of_a_flat_listing(keys: list[str]) -> None:
    pages = Pages(keys)
    assert listed(pages) == sorted(keys)
    assert pages.num_pages <= 1.25 * len(keys) / 1000 + 129


@pytest.mark.parametrize("num_keys", [0, 1, 999, 1000, 3999])
def test_few_keys_are_one_chain(num_keys: int) -> None:
    pages = Pages([f"c{number:04d}/x" for number in range(num_keys)])
    assert len(listed(pages)) == num_keys
    assert pages.num_pages == max(1, -(-num_keys // 1000))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["{0}/{1}.jpg", "some/{0}/{1}.jpg", "{0}/x/y/{1}.jpg"],
)
def test_long_listings_run_side_by_side(name: str) -> None:
    keys = [name.format(f"c{folder:02d}", number) for folder in range(40) for number in range(2000)]
    pages = Pages(keys)
    ranges = s3listing._Ranges("", "s3://b")
    num_rounds = 0
    while ranges.pending:  # as many requests at a time as there are chains, all of which take equally long
        num_rounds += 1
        asked = [ranges.pop(index) for index in range(min(len(ranges.pending), 16))]
        for index, (part, page) in enumerate(asked, 1):
            if page.delimiter:
                ranges.cut(part, pages.load(page), len(asked) - index)
            else:
                ranges.take(part, pages.load(page))
    assert num_rounds <= 25  # 80 one after another


@pytest.fixture
def counted(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> tuple[Bucket, list[str]]:
    """A bucket with pages of 10 keys, and the requests for them that were sent."""
    sent: list[str] = []
    events = connect(bucket.name, bucket.options).control.meta.events
    events.register("before-parameter-build.s3.ListObjectsV2", lambda params, **_: params.update({"MaxKeys": 10}))
    events.register("before-send.s3.ListObjectsV2", lambda request, **_: sent.append(request.url))
    monkeypatch.setattr(s3listing, "_FREE_EXTRA", 24)
    monkeypatch.setattr(s3listing, "_OBJECTS_PER_EXTRA", 40)
    return bucket, sent


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["{0}/main.jpg", "c{1:02d}/{0}.jpg", "{0}.jpg", "train/c{1}/{0} +ä.jpg"],
    ids=["tiny folders", "classes", "flat", "odd names"],
)
def test_requests_to_a_server(counted: tuple[Bucket, list[str]], name: str) -> None:
    bucket, sent = counted
    keys = sorted(name.format(number, number % 20) for number in range(300))
    for key in keys:
        bucket.put(f"some/prefix/{key}", b"1")
    for key in ("some/prefix.jpg", "some/prefix0/x.jpg", "some/a", "z"):
        bucket.put(key, b"1")
    assert sorted(info.key for info in open_store(bucket.uri, bucket.options).list()) == keys
    assert 30 <= len(sent) <= 1.25 * 30 + 24 + 1
    assert any("delimiter" in url for url in sent)


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
        with pytest.raises(WebPageError if damaged == b"<html/>" else PageError):
            parse_objects(damaged)
