"""From a path or URI to its store: the one table of schemes."""

from __future__ import annotations

import os
import re
from urllib.parse import unquote

from packer.errors import OptionsError
from packer.specs import DEFAULT_STORE, StoreOptions
from packer.stores.local_store import LocalStore
from packer.stores.store import Store

_S3_SCHEMES = ("s3", "s3a", "s3n")


def open_store(uri: str, options: StoreOptions = DEFAULT_STORE) -> Store:
    """Return the store at a path or URI. Nothing is asked of a remote place before the store is used.

    Raises:
        OptionsError: the URI is malformed, or its scheme is not known.
        MissingExtraError: the scheme's library is not installed.
    """
    scheme = find_scheme(uri)
    if scheme in ("", "file"):
        return LocalStore(absolute_uri(uri))
    if scheme in _S3_SCHEMES:
        from packer.stores.s3 import S3Store

        return S3Store(uri, options)
    from packer.stores.fsspec_store import RemoteStore

    return RemoteStore(uri)


def check_dest(uri: str) -> None:
    """Raise OptionsError where no data set can be written, by the URI alone."""
    if is_local(uri) or find_scheme(uri) in _S3_SCHEMES:
        return
    from packer.stores.fsspec_store import check_creates

    check_creates(uri)


def share_options(uri: str, options: StoreOptions) -> StoreOptions:
    """Return options with which other processes open the store at once: with the address, without any credential.

    Raises as using the store does.
    """
    if find_scheme(uri) not in _S3_SCHEMES:
        return options
    from packer.stores.s3 import S3Store

    return S3Store(uri, options).shared_options()


def read_file(uri: str, options: StoreOptions = DEFAULT_STORE, *, max_bytes: int) -> bytes:
    """Return the bytes of one file or object at a path or URI.

    Raises:
        OptionsError, MissingExtraError: as `open_store`, the URI names a whole bucket, or there are more bytes than
            `max_bytes`.
        OSError: there is no such file, or it cannot be read.
    """
    parent, _, name = absolute_uri(uri).rpartition("/")
    if parent.endswith(":/"):
        raise OptionsError(f"{parent}/{name}: expected a file or an object, got a whole bucket")
    store = open_store(parent or "/", options)
    if store.is_near:
        with store.open(name) as file:
            data = file.read(max_bytes + 1)
    else:
        data = store.get_range(name, 0, max_bytes + 1) if find_scheme(uri) in _S3_SCHEMES else store.get(name)
    if len(data) > max_bytes:
        raise OptionsError(f"{uri}: expected a file of at most {max_bytes:,} bytes, got more")
    return data


def find_scheme(uri: str) -> str:
    """Return a URI's scheme in lower case; empty for a path."""
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", uri)
    return scheme[1].lower() if scheme else ""


def is_local(uri: str) -> bool:
    """Say whether a path or URI is on this machine's file system."""
    return find_scheme(uri) in ("", "file")


def absolute_uri(uri: str) -> str:
    """Return the absolute path of a path or ``file://`` URI, or another URI without a last ``/``. Opens nothing."""
    scheme = find_scheme(uri)
    if scheme == "file":
        return os.path.abspath(unquote(uri[len("file://") :]))
    if not scheme:
        return os.path.abspath(uri)
    return f"{'s3' if scheme in _S3_SCHEMES else scheme}://{uri.partition('://')[2].rstrip('/')}"
