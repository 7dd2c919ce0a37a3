"""What a job reads from a bucket: its program, its options and its package, each under the digest of its bytes.

Equal bytes have one name, so a second job uploads nothing anew, and no job changes what another one reads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from packer.errors import OptionsError
from packer.progress import Progress
from packer.specs import StoreOptions
from packer.stores.open_store import find_scheme, open_store

_DIGEST_DIGITS = 16
_PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class StagedFile:
    """One file of a job."""

    key: str
    """Below the staging prefix."""
    uri: str
    num_bytes: int
    data: bytes | None
    path: str
    """Of the file on this machine; empty where `data` has the bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedJob:
    """Where a job finds its files."""

    program: str = ""
    config: str = ""
    package: str = ""
    """URI; empty where the nodes have the package."""
    digest: str = ""
    """Of the options, which name the job where nobody does."""
    files: tuple[StagedFile, ...] = ()
    """To be uploaded where they are not there."""


def stage_bytes(staging: str, name: str, data: bytes) -> StagedFile:
    """Return where bytes go under a staging prefix."""
    key = f"{hashlib.sha256(data).hexdigest()[:_DIGEST_DIGITS]}/{name}"
    return StagedFile(key=key, uri=f"{staging}/{key}", num_bytes=len(data), data=data, path="")


def stage_file(staging: str, path: str) -> StagedFile:
    """Return where a file of this machine goes under a staging prefix. Raises OptionsError where there is none."""
    digest, num_bytes = hashlib.sha256(), 0
    try:
        with open(path, "rb") as file:
            while piece := file.read(_PIECE_BYTES):
                digest.update(piece)
                num_bytes += len(piece)
    except OSError as error:
        raise OptionsError(f"expected a file or an s3:// URI, but {path}: {error.strerror}", field="package") from None
    key = f"{digest.hexdigest()[:_DIGEST_DIGITS]}/{Path(path).name}"
    return StagedFile(key=key, uri=f"{staging}/{key}", num_bytes=num_bytes, data=None, path=path)


def check_staging(uri: str) -> str:
    """Return a staging prefix without its last ``/``. Raises OptionsError where it is not in S3."""
    if find_scheme(uri) != "s3":
        raise OptionsError(f"expected s3://bucket/prefix, got {uri}", field="staging")
    return uri.rstrip("/")


def upload(staging: str, files: Sequence[StagedFile], options: StoreOptions, progress: Progress) -> tuple[str, ...]:
    """Put those files under the staging prefix that are not there; return their URIs.

    Raises:
        OSError: the bucket refused, or a file cannot be read.
    """
    store = open_store(staging, options)
    uploaded = []
    for file in files:
        if any(found.key == file.key and found.num_bytes == file.num_bytes for found in store.list(file.key)):
            continue
        progress.note(f"uploading {file.uri}, {file.num_bytes:,} bytes")
        store.put(file.key, [file.data if file.data is not None else Path(file.path).read_bytes()])
        uploaded.append(file.uri)
    return tuple(uploaded)
