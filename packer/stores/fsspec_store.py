"""Every other place that fsspec can reach, as a store: ``gs://``, ``abfs://``, ``memory://`` and more.

``fsspec+s3://`` reads a bucket through fsspec's own library, s3fs, instead of this package's client: for settings that
s3fs alone knows, such as those of fsspec's configuration files.

Credentials are found as the place's own fsspec library finds them.
"""

from __future__ import annotations

import errno
import io
import logging
import os
import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any, BinaryIO, TypeVar

import fsspec.core

from packer.errors import ClaimLostError, MissingExtraError, OptionsError, StoreAccessError, StoreError
from packer.shown_text import cause_of
from packer.stores.claims import put_claimed
from packer.stores.store import NO_CLAIM, Buffers, Claim, ObjectInfo, ObjectNotFoundError, Tagged

T = TypeVar("T")
_LOGGER = logging.getLogger(__name__)

FSSPEC_PREFIX = "fsspec+"
"""Before a scheme: fsspec's own library reads the place, whatever this package has for it."""
_CREATES_ATOMICALLY = frozenset({"gs", "gcs", "memory"})
"""Schemes whose library asks the server itself to refuse a key that exists, and memory, which is locked here."""
_MEMORY = threading.Lock()
"""Makes one step of look and write in fsspec's memory, which is this process's own."""


class RemoteStore:
    """Objects below a URL of any file system that fsspec knows; the URL may begin with ``fsspec+``."""

    def __init__(self, uri: str, claim: Claim = NO_CLAIM) -> None:
        self._claim = claim
        self._scheme = uri.partition("://")[0].lower()
        rest = uri.partition("://")[2]
        if "@" in rest.partition("/")[0] or re.search(r"[?#]", rest):
            raise OptionsError(
                f"a URI of {self._scheme}: expected no user, password or query in it; give credentials as the library "
                f"of that place takes them, such as its environment variables"
            )
        self._uri = f"{self._scheme}://{rest.rstrip('/')}"
        self._shared, root = _open_filesystem(self._uri)
        self._root = root.rstrip("/")

    @property
    def uri(self) -> str:
        return self._uri

    @property
    def read_ahead(self) -> int:
        return 16

    @property
    def _files(self) -> Any:
        """fsspec's file system for this thread: one that is not asynchronous has one connection for one thread."""
        return self._shared if self._shared.async_impl else _open_filesystem(self._uri)[0]

    @property
    def is_near(self) -> bool:
        return False

    def get(self, key: str, etag: str = "") -> bytes:  # tags would cost a request for each object
        return bytes(self._call(lambda: self._files.cat_file(self._path(key)), key))

    def view(self, key: str) -> memoryview:
        return memoryview(self.get(key))

    def open(self, key: str) -> BinaryIO:
        return io.BytesIO(self.get(key))

    def get_range(self, key: str, start: int, stop: int, etag: str = "") -> bytes:
        if stop <= start:
            return b""
        content = bytes(self._call(lambda: self._files.cat_file(self._path(key), start=start, end=stop), key))
        if len(content) > stop - start:
            raise StoreError(
                f"{self._uri}/{key}: expected at most {stop - start:,} bytes, got {len(content):,}: the place does not "
                f"serve parts of objects, so archives and indices cannot be read there; copy them here"
            )
        return content

    def put(self, key: str, buffers: Buffers) -> None:
        if self._claim.tag:
            put_claimed(self, key, buffers)
            return
        self._call(lambda: self._files.pipe_file(self._path(key), b"".join(buffers)), key)

    def put_if_absent(self, key: str, buffers: Buffers) -> bool:
        data = b"".join(buffers)
        if self._scheme == "memory":
            with _MEMORY:
                self.check_claim()
                return self._create(key, data)
        check_creates(self._uri)
        self.check_claim()
        return self._create(key, data)

    def put_if_same(self, key: str, buffers: Buffers, tag: str) -> bool:
        # Elsewhere than in memory nothing makes one step of these, as these libraries have no call for it.
        with _MEMORY if self._scheme == "memory" else nullcontext():
            self.check_claim()
            if self.find_tag(key) != tag:
                return False
            self._call(lambda: self._files.pipe_file(self._path(key), b"".join(buffers)), key)
            return True

    def get_tagged(self, key: str) -> Tagged:
        tag = self.find_tag(key)
        return Tagged(self.get(key), tag)

    def find_tag(self, key: str) -> str:
        path = self._path(key)
        try:
            self._files.invalidate_cache(path)
            return str(self._call(lambda: self._files.checksum(path), key))
        except ObjectNotFoundError:
            return ""

    def check_claim(self) -> None:
        if self._claim.tag and self.find_tag(self._claim.key) != self._claim.tag:
            raise ClaimLostError(self._uri)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        folder = prefix.rpartition("/")[0]
        path = self._path(folder) if folder else self._root
        try:
            found = self._call(lambda: self._files.find(path, detail=True), folder)
        except ObjectNotFoundError:
            return
        sizes = {str(name)[len(self._root) :].lstrip("/"): info.get("size") for name, info in found.items()}
        sizes = {key: size for key, size in sizes.items() if key.startswith(prefix)}
        with ThreadPoolExecutor(self.read_ahead, thread_name_prefix="size") as threads:
            unknown = [key for key, size in sizes.items() if size is None]  # web servers list names alone
            sizes.update(zip(unknown, threads.map(self._load_size, unknown), strict=True))
        for key, size in sizes.items():
            yield ObjectInfo(key, int(size))

    def _load_size(self, key: str) -> int:
        size = self._call(lambda: self._files.info(self._path(key)), key).get("size")
        if size is None:
            raise StoreError(f"{self._uri}/{key}: the place does not tell its size; copy the source here")
        return int(size)

    def delete(self, key: str) -> None:
        self.check_claim()
        try:
            self._call(lambda: self._files.rm_file(self._path(key)), key)
        except ObjectNotFoundError:
            return

    def delete_all(self, keys: Iterable[str]) -> None:
        with ThreadPoolExecutor(self.read_ahead, thread_name_prefix="delete") as threads:
            deque(threads.map(self.delete, keys), maxlen=0)

    def sweep(self) -> None:
        return

    @property
    def claim(self) -> Claim:
        return self._claim

    def claimed(self, claim: Claim) -> RemoteStore:
        return RemoteStore(self._uri, claim)

    def open_folder(self, name: str, *, is_new: bool) -> str:
        return ""

    def end_others(self, name: str = "") -> None:
        return

    def end_claim(self) -> None:
        return

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}"

    def _create(self, key: str, data: bytes) -> bool:
        try:
            self._call(lambda: self._files.pipe_file(self._path(key), data, mode="create"), key)
        except FileExistsError:
            return False
        return True

    def _call(self, call: Callable[[], T], key: str) -> T:
        """Call, with the library's errors told in this package's own, less what may be secret in them."""
        where = f"{self._uri}/{key}"
        problem: OSError
        try:
            return call()
        except FileNotFoundError:
            problem = ObjectNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), where)
        except FileExistsError:
            problem = FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), where)
        except PermissionError as error:
            _LOGGER.debug("%s: %s", where, cause_of(error))
            problem = StoreAccessError(f"{where}: no permission; grant it, or sign in as that place's library expects")
        except Exception as error:  # each library has errors of its own, under no common name
            _LOGGER.debug("%s: %s", where, cause_of(error))
            problem = StoreError(f"{where}: the request failed with {type(error).__name__}; go on with `resume=True`")
        raise problem


def check_creates(uri: str) -> None:
    """Raise OptionsError where `RemoteStore.put_if_absent` could not tell who was first."""
    scheme = uri.partition("://")[0].lower()
    if scheme not in _CREATES_ATOMICALLY:
        raise OptionsError(
            f"expected a folder, s3:// or gs://, got {scheme}://, which has no known way to write only what is "
            f"not there: of two runs that start at once none could tell who owns the place",
            field="dest",
        )


def _open_filesystem(uri: str) -> tuple[Any, str]:
    """Return fsspec's file system for a URL, which may name a host, and the path of the URL in it."""
    scheme = uri.partition("://")[0]
    try:
        files, path = fsspec.core.url_to_fs(uri.removeprefix(FSSPEC_PREFIX))
    except ImportError as error:
        raise MissingExtraError(f"{scheme}:// needs another library: {error}") from None
    except ValueError:
        raise OptionsError(f"{scheme}://: expected a path, s3:// or another scheme that fsspec knows") from None
    except Exception as error:  # each library has errors of its own, under no common name
        raise StoreError(f"{uri}: cannot be reached ({type(error).__name__}); mend the URL or the way there") from None
    return files, str(path)
