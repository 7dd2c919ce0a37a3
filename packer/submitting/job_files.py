"""The files that a job reads from a bucket: program, options and package, each named by the digest of its bytes.

Equal bytes have the same name. So a second job uploads only new files, and no job changes the files of another.
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
    """Key below the staging prefix."""
    uri: str
    num_bytes: int
    data: bytes | None
    path: str
    """Path of the file on this machine; empty if `data` has the bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedJob:
    """Where a job finds its files."""

    program: str = ""
    config: str = ""
    package: str = ""
    """URI of the package; empty if the nodes have it already."""
    digest: str = ""
    """SHA-256 of the options; part of the job's name if the user gives none."""
    files: tuple[StagedFile, ...] = ()
    """Files to upload if they are missing in the bucket."""


def stage_bytes(staging: str, name: str, data: bytes) -> StagedFile:
    """Return the staged file for some bytes. Uploads nothing."""
    key = f"{hashlib.sha256(data).hexdigest()[:_DIGEST_DIGITS]}/{name}"
    return StagedFile(key=key, uri=f"{staging}/{key}", num_bytes=len(data), data=data, path="")


def stage_file(staging: str, path: str) -> StagedFile:
    """Return the staged file for a file of this machine. Uploads nothing. Raises OptionsError if it cannot be read."""
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
    """Return a staging prefix without ``/`` at the end. Raises OptionsError if it is not an S3 URI."""
    if find_scheme(uri) != "s3":
        raise OptionsError(f"expected s3://bucket/prefix, got {uri}", field="staging")
    return uri.rstrip("/")


def upload(staging: str, files: Sequence[StagedFile], options: StoreOptions, progress: Progress) -> tuple[str, ...]:
    """Upload the files that are missing under the staging prefix, and return their URIs.

    Raises:
        OSError: the bucket refused a request, or a file cannot be read.
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
