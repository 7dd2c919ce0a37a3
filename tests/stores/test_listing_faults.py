"""Answers to a request for a listing that no good server gives: a named error, and no listing without an end."""

from typing import Any

import pytest

from packer.errors import StoreError
from packer.stores.s3listing import Page, list_objects
from packer.stores.s3pages import OBJECTS, PageError, WebPageError, parse_objects
from packer.stores.store import ObjectInfo


def test_a_continuation_token_that_comes_twice() -> None:
    def load(page: Page) -> Any:
        name = f"k{page.token}"
        return {OBJECTS: [ObjectInfo(name, 1)], "IsTruncated": True, "NextContinuationToken": "again"}

    with pytest.raises(StoreError, match=r"^s3://b/p: a page of the listing, after 'k', .* the continuation token of"):
        list(list_objects(load, "k", where="s3://b/p"))


def test_a_page_that_says_there_is_more_and_not_how_to_get_it() -> None:
    def load(page: Page) -> Any:
        return {OBJECTS: [ObjectInfo("k", 1)], "IsTruncated": True}

    with pytest.raises(
        StoreError, match=r"^s3://b/p: .* but has no continuation token: .*; update the server, or pack"
    ):
        list(list_objects(load, "k", where="s3://b/p"))


@pytest.mark.parametrize(
    "page", [b"<!DOCTYPE html><html></html>", b"\n<html lang='en'>", b"<!-- proxy --> <HTML><body>Sign in</body>"]
)
def test_a_web_page(page: bytes) -> None:
    with pytest.raises(WebPageError):
        parse_objects(page)


def test_another_document_is_no_web_page() -> None:
    with pytest.raises(PageError):
        parse_objects(b"<?xml version='1.0'?><Other>html</Other>")
