"""A prefix of an S3 bucket as a store.

Bytes go through obstore, which costs a sixth of boto3's CPU time for each object; listings and deletions go through
boto3. An object is written with one PUT: S3 and its like check If-None-Match there, and not all of them where the
parts of a multipart upload are joined. Clients are shared by all stores of a bucket in a process.
"""

from __future__ import annotations

import functools
import hashlib
import io
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, BinaryIO, TypeVar

import msgspec
import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

from packer.errors import ClaimLostError, OptionsError, StoreError
from packer.shown_text import cause_of
from packer.specs import Encryption, StoreOptions
from packer.stores.claims import put_claimed
from packer.stores.retry import RetryPolicy, TransientError, retry
from packer.stores.s3account import NUM_IN_FLIGHT
from packer.stores.s3client import CLIENT_ERRORS, Clients, check_answer, connect
from packer.stores.s3deletion import delete_objects
from packer.stores.s3errors import make_error, parse_failure
from packer.stores.s3listing import Page, list_objects
from packer.stores.store import (
    NO_CLAIM,
    Buffers,
    Claim,
    ObjectChangedError,
    ObjectInfo,
    ObjectNotFoundError,
    Tagged,
)

T = TypeVar("T")
_LOGGER = logging.getLogger(__name__)

_POLICY = RetryPolicy()
_BULK_BYTES = 1_000_000
"""Objects from this size on may take long to be sent."""
_URI = re.compile(r"s3[an]?://([^/?#@:]+)(/[^\0]*)?", re.DOTALL)
_ODD_PART = re.compile(r"(^|/)\.{0,2}(/|$)")
_MD5 = re.compile(r'"?([0-9a-f]{32})"?')


def parse_s3_uri(uri: str) -> tuple[str, str]:
    """Return the bucket and the prefix, without ``/`` at its ends, of ``s3://bucket/prefix`` (or s3a, s3n).

    Raises:
        OptionsError: it is not of that form. The text does not repeat it, since a user's mistake may hold a secret.
    """
    match = _URI.fullmatch(uri)
    if match is None:
        raise OptionsError("a URI of S3: expected s3://bucket/prefix, without a key, a secret, or a port in it")
    return match[1], (match[2] or "").strip("/")


class S3Store:
    """Objects below a prefix. May be used by many threads."""

    def __init__(self, uri: str, options: StoreOptions, claim: Claim = NO_CLAIM) -> None:
        self._bucket, self._prefix = parse_s3_uri(uri)
        self._base = self._prefix + "/" if self._prefix else ""
        self._options = options
        self._claim = claim
        self._has_md5_tags = options.sse is not Encryption.KMS

    @property
    def uri(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    @property
    def read_ahead(self) -> int:
        return NUM_IN_FLIGHT

    @property
    def is_near(self) -> bool:
        return False

    def get(self, key: str, etag: str = "") -> bytes:
        return self._read(key, etag).to_bytes()

    def view(self, key: str) -> memoryview:
        return memoryview(self._read(key))

    def open(self, key: str) -> BinaryIO:
        return io.BytesIO(self._read(key))

    def get_range(self, key: str, start: int, stop: int, etag: str = "") -> bytes:
        if stop <= start:
            return b""
        path = self._path(key)

        def read() -> bytes:
            result = obstore.get(self._clients.objects, path, options={"range": (start, stop)})
            self._check_same(path, etag, result.meta["e_tag"])
            data = result.bytes().to_bytes()
            if len(data) != min(stop, result.meta["size"]) - start:
                raise TransientError(f"{self._uri_of(path)}: expected {stop - start:,} bytes, got {len(data):,}")
            return data

        return self._retry(read, path, "read", no_range=b"")

    def put(self, key: str, buffers: Buffers) -> None:
        if self._claim.tag:
            put_claimed(self, key, buffers)
            return
        path = self._path(key)
        self._retry(lambda: self._write(path, buffers, mode="overwrite"), path, "write")

    def put_if_absent(self, key: str, buffers: Buffers) -> bool:
        return self._put_if(key, buffers, ["create"])

    def put_if_same(self, key: str, buffers: Buffers, tag: str) -> bool:
        etag = tag.partition(" ")[0]
        # Ceph's gateway compares the text as it comes, while the standard, and AWS, want quotes.
        return self._put_if(key, buffers, [{"e_tag": etag}, {"e_tag": f'"{etag}"'}])

    def get_tagged(self, key: str) -> Tagged:
        path = self._path(key)
        data, meta = self._get(path, "")
        return Tagged(data.to_bytes(), _tag(meta))

    def find_tag(self, key: str) -> str:
        path = self._path(key)
        try:
            return self._retry(lambda: _tag(obstore.head(self._clients.objects, path)), path, "read")
        except ObjectNotFoundError:
            return ""

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        first = len(self._base)
        for info in list_objects(self._list_page, self._base + prefix, where=self.uri):
            if len(info.key) > first:  # the prefix itself is a mark that some tools leave, and no object of the store
                yield ObjectInfo(info.key[first:], info.num_bytes, info.etag)

    def delete(self, key: str) -> None:
        path = self._base + key
        self.check_claim()
        request = {"Bucket": self._bucket, "Key": path, **self._payer}
        self._retry(lambda: self._clients.control.delete_object(**request), path, "delete")

    def delete_all(self, keys: Iterable[str]) -> None:
        def send(paths: list[str]) -> Any:
            self.check_claim()
            request = {"Objects": [{"Key": path} for path in paths], "Quiet": True}
            call = lambda: self._clients.control.delete_objects(Bucket=self._bucket, Delete=request, **self._payer)  # noqa: E731
            return self._call(call, paths[0], "delete")

        paths = (self._base + key for key in keys)
        delete_objects(send, lambda call: retry(call, _POLICY), paths, bucket=self._bucket)

    def sweep(self) -> None:
        return  # a put is one request, so nothing is left behind

    @property
    def claim(self) -> Claim:
        return self._claim

    def claimed(self, claim: Claim) -> S3Store:
        return S3Store(self.uri, self._options, claim)

    def open_folder(self, name: str, *, is_new: bool) -> str:
        return ""

    def end_others(self, name: str = "") -> None:
        return  # their claim's tag is another

    def end_claim(self) -> None:
        return

    def shared_options(self) -> StoreOptions:
        """See `share_options`."""
        return msgspec.structs.replace(self._options, address=self._clients.address)

    @property
    def _clients(self) -> Clients:
        return connect(self._bucket, self._options)

    @property
    def _payer(self) -> dict[str, str]:
        return {"RequestPayer": "requester"} if self._options.requester_pays else {}

    def _path(self, key: str) -> str:
        path = self._base + key
        if _ODD_PART.search(path):
            raise StoreError(
                f"{self._uri_of(path)!r}: a key with an empty, '.' or '..' part cannot be read or written; rename it"
            )
        return path

    def _uri_of(self, path: str) -> str:
        return f"s3://{self._bucket}/{path}"

    def _put_if(self, key: str, buffers: Buffers, modes: Sequence[Any]) -> bool:
        """Write an object under the first of the conditions that holds; return whether one did."""
        path = self._path(key)
        failures: list[TransientError] = []

        def write(mode: Any) -> bool:
            self.check_claim()
            try:
                self._write(path, buffers, mode=mode)
            except (AlreadyExistsError, PreconditionError, FileNotFoundError) as error:
                failure = parse_failure(str(error))
                # With 409, for two at the same moment, the server wants another try.
                if failure.status not in (404, 412) or failure.code == "NoSuchBucket":
                    raise
                return False
            return True

        def attempt() -> bool:
            try:
                if any(self._call(functools.partial(write, mode), path, "write") for mode in modes):
                    return True
            except TransientError as error:
                failures.append(error)
                raise
            # An attempt without an answer may have been the one that wrote it.
            return bool(failures) and self.get(key) == b"".join(buffers)

        return retry(attempt, _POLICY)

    def check_claim(self) -> None:
        if self._claim.tag and self.find_tag(self._claim.key) != self._claim.tag:
            raise ClaimLostError(self.uri)

    def _read(self, key: str, etag: str = "") -> obstore.Bytes:
        return self._get(self._path(key), etag)[0]

    def _get(self, path: str, etag: str) -> tuple[obstore.Bytes, obstore.ObjectMeta]:
        def read() -> tuple[obstore.Bytes, obstore.ObjectMeta]:
            result = obstore.get(self._clients.objects, path)
            self._check_same(path, etag, result.meta["e_tag"])
            data, expected = result.bytes(), result.meta["size"]
            if len(data) != expected:
                raise TransientError(f"{self._uri_of(path)}: expected {expected:,} bytes, got {len(data):,}")
            self._check_tag(path, result.meta["e_tag"], [data])
            return data, result.meta

        return self._retry(read, path, "read")

    def _check_same(self, path: str, expected: str, tag: str | None) -> None:
        found = (tag or "").strip('"')
        if expected and found != expected:
            raise ObjectChangedError(f"{self._uri_of(path)}: expected the entity tag {expected}, found {found}")

    def _write(self, path: str, buffers: Buffers, *, mode: Any) -> None:
        num_bytes = sum(map(len, buffers))
        clients = self._clients
        result = obstore.put(
            clients.bulk if num_bytes >= _BULK_BYTES else clients.objects,
            path,
            (_as_bytes(buffer) for buffer in buffers) if num_bytes else b"",
            attributes={"Storage-Class": self._options.storage_class} if self._options.storage_class else None,
            tags=dict(self._options.tags) or None,
            mode=mode,
            use_multipart=False,
        )
        self._check_tag(path, result["e_tag"], buffers)

    def _check_tag(self, path: str, tag: str | None, buffers: Any) -> None:
        """Raise TransientError unless the MD5 of the bytes is the entity tag, where that is an MD5."""
        match = _MD5.fullmatch(tag or "")
        if match is None or not self._has_md5_tags:
            return
        digest = hashlib.md5(usedforsecurity=False)
        for buffer in buffers:
            digest.update(buffer)
        if digest.hexdigest() == match[1]:
            return
        if self._is_tag_no_md5(path):
            self._has_md5_tags = False
            return
        raise TransientError(f"{self._uri_of(path)}: the bytes are not those of its entity tag")

    def _is_tag_no_md5(self, path: str) -> bool:
        """Ask how an object is encrypted: with keys of a key service or of the customer its tag is something else."""
        head = self._call(
            lambda: self._clients.control.head_object(Bucket=self._bucket, Key=path, **self._payer), path, "read"
        )
        return str(head.get("ServerSideEncryption", "")).startswith("aws:kms") or "SSECustomerAlgorithm" in head

    def _list_page(self, page: Page) -> Any:
        request = {"Bucket": self._bucket, "Prefix": page.prefix, **self._payer}
        request |= {"Delimiter": page.delimiter} if page.delimiter else {}
        if page.token:
            request["ContinuationToken"] = page.token
        elif page.start:
            request["StartAfter"] = page.start
        return self._retry(lambda: self._clients.control.list_objects_v2(**request), page.prefix, "list")

    def _retry(self, call: Callable[[], T], path: str, action: str, no_range: T | None = None) -> T:
        return retry(lambda: self._call(call, path, action, no_range), _POLICY)

    def _call(self, call: Callable[[], T], path: str, action: str, no_range: T | None = None) -> T:
        """Call, with the clients' errors told in this package's own.

        `no_range`, if given, is the answer where a range starts behind the object's end. The client's error is not
        kept as the cause of the new one: it may hold what nobody should see in a traceback.
        """
        try:
            return call()
        except (BaseError, FileNotFoundError) as error:
            failure = parse_failure(str(error))
            if failure.status == 416 and no_range is not None:
                return no_range
            _LOGGER.debug("%s: %s: %s, %s", self._uri_of(path), action, failure, cause_of(error))
            problem = make_error(failure, bucket=self._bucket, key=path, action=action)
        except CLIENT_ERRORS as error:
            _LOGGER.debug("%s: %s: %s", self._uri_of(path), action, cause_of(error))
            problem = check_answer(error, bucket=self._bucket, key=path, action=action)
        raise problem


def _tag(meta: obstore.ObjectMeta) -> str:
    """Return an entity tag, and when it was written, since equal contents have equal entity tags."""
    etag = (meta["e_tag"] or "").strip('"')
    return f"{etag} {meta['last_modified'].isoformat()}"


def _as_bytes(buffer: bytes | memoryview) -> bytes | memoryview:
    """Return a buffer as unsigned bytes, the only kind that obstore takes; Arrow's are signed."""
    return buffer.cast("B") if isinstance(buffer, memoryview) else buffer
