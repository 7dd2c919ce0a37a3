"""S3 Inventory: a bucket's own list of its objects, in place of listing it, which takes hours for a billion of them.

The format is Amazon's: `manifest.json` names data files in the destination bucket, each with its MD5. They are gzipped
CSV without a header, in the columns of `fileSchema` and with URL-encoded keys, or Parquet with plain keys.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from urllib.parse import unquote_plus

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from packer.errors import SourceError
from packer.parsing import ParseError, parse_json
from packer.shown_text import counted
from packer.sources.image_names import quote
from packer.sources.items import KEY, Listing, SourceSpec
from packer.sources.parquet_rows import BATCH_ROWS, tells_rows_apart
from packer.sources.remote_source import ObjectWalk, build_walk
from packer.stores.open_store import absolute_uri, is_local, open_store
from packer.stores.store import ObjectInfo, ObjectNotFoundError, Store

MANIFEST_NAME = "manifest.json"

_BLOCK_BYTES = 4 << 20
_KEY, _SIZE, _ETAG, _IS_LATEST, _IS_DELETE_MARKER = "key", "size", "etag", "islatest", "isdeletemarker"
_COLUMNS = frozenset({_KEY, _SIZE, _ETAG, _IS_LATEST, _IS_DELETE_MARKER})


class _File(msgspec.Struct, frozen=True):
    key: str
    """In the destination bucket."""
    md5: str = msgspec.field(name="MD5checksum")


class _Manifest(msgspec.Struct, frozen=True, rename="camel"):
    source_bucket: str
    destination_bucket: str
    """An ARN, which ends in ``:::NAME``."""
    file_format: str
    file_schema: str
    files: tuple[_File, ...]


def list_inventory(spec: SourceSpec) -> Listing:
    """List the objects of an S3 Inventory, whose `manifest.json` is `spec.source`, as listing their prefix would.

    Keys are relative to the source bucket, or to the prefix `spec.root` of it. Of a versioned bucket the latest
    versions count. Beside a manifest on this machine, data files are looked for by the last part of their keys; where
    none is there, and for a manifest elsewhere, they are read from the destination bucket.

    Raises:
        SourceError: not a manifest of S3 Inventory, ORC, a missing or damaged data file, a key that appears twice, or
            what listing the prefix would refuse.
        OSError: a bucket cannot be read.
    """
    for field, value in (("label_column", spec.label_column), ("key_column", spec.key_column)):
        if value is not None:
            raise SourceError("an S3 Inventory has no such column, and folders are classes; leave it out", field=field)
    parent, _, name = absolute_uri(spec.source).rpartition("/")
    manifest = _load_manifest(spec, open_store(parent, spec.store), name)
    root = _find_root(spec, manifest)
    base = f"{root}/".removeprefix(f"s3://{manifest.source_bucket}/")
    walk = ObjectWalk(spec, root)
    for info in _iter_objects(spec, manifest, parent):
        if info.key.startswith(base) and info.key != base:  # which is a mark that some tools leave for a folder
            walk.add(ObjectInfo(info.key[len(base) :], info.num_bytes, info.etag))
    listing = build_walk(spec, walk)
    _refuse_repeats(spec, listing)
    return listing


def _load_manifest(spec: SourceSpec, store: Store, name: str) -> _Manifest:
    try:
        manifest = parse_json(store.view(name), _Manifest)
    except ObjectNotFoundError:
        raise SourceError(f"{spec.source}: no such object") from None
    except ParseError as error:
        raise SourceError(f"{spec.source}: expected a manifest of S3 Inventory: {error}; name another SOURCE") from None
    if manifest.file_format not in ("CSV", "Parquet"):
        raise SourceError(
            f"{spec.source}: an inventory in {manifest.file_format} cannot be read; configure one in Parquet or CSV"
        )
    return manifest


def _find_root(spec: SourceSpec, manifest: _Manifest) -> str:
    bucket = f"s3://{manifest.source_bucket}"
    root = bucket if spec.root is None else absolute_uri(spec.root)
    if root != bucket and not root.startswith(bucket + "/"):
        raise SourceError(
            f"expected {bucket}, which the inventory lists, or a prefix in it; got {spec.root!r}", field="root"
        )
    return root


def _iter_objects(spec: SourceSpec, manifest: _Manifest, parent: str) -> Iterator[ObjectInfo]:
    beside = [os.path.basename(file.key) for file in manifest.files]
    if is_local(parent) and any(os.path.exists(os.path.join(parent, name)) for name in beside):
        store, keys = open_store(parent), beside
    else:
        store = open_store(f"s3://{manifest.destination_bucket.rpartition(':')[2]}", spec.store)
        keys = [file.key for file in manifest.files]
    for file, key in zip(manifest.files, keys, strict=True):
        name, content = f"{store.uri}/{key}", _load_file(store, key, file.md5)
        try:
            for batch in _iter_batches(manifest, content):
                yield from _build_objects(name, batch, has_plain_keys=manifest.file_format == "Parquet")
        except (pa.ArrowException, OSError) as error:  # Arrow raises OSError for what is not gzip
            reason = " ".join(str(error).split())
            raise SourceError(f"{name}: cannot be read as {manifest.file_format}: {reason}") from None


def _load_file(store: Store, key: str, md5: str) -> memoryview:
    try:
        content = store.view(key)
    except ObjectNotFoundError:
        raise SourceError(
            f"{store.uri}/{key}: no such file, which the inventory's manifest names; "
            "bring it there, or use an inventory whose files are still kept"
        ) from None
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != md5.lower():
        raise SourceError(f"{store.uri}/{key}: damaged: expected the MD5 {md5}, got {found}; copy it again")
    return content


def _iter_batches(manifest: _Manifest, content: memoryview) -> Iterator[pa.RecordBatch]:
    """Yield the columns that matter; columns of a CSV are text."""
    reader = pa.BufferReader(content)
    if manifest.file_format == "Parquet":
        file = pyarrow.parquet.ParquetFile(reader)
        names = [name for name in file.schema_arrow.names if _plain(name) in _COLUMNS]
        yield from file.iter_batches(BATCH_ROWS, columns=names, use_threads=False)
        return
    header = [name.strip() for name in manifest.file_schema.split(",")]
    names = [name for name in header if _plain(name) in _COLUMNS]
    yield from pyarrow.csv.open_csv(
        pa.CompressedInputStream(reader, "gzip"),
        read_options=pyarrow.csv.ReadOptions(column_names=header, block_size=_BLOCK_BYTES),
        convert_options=pyarrow.csv.ConvertOptions(
            include_columns=names,
            column_types=dict.fromkeys(names, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
        ),
    )


def _build_objects(name: str, batch: pa.RecordBatch, *, has_plain_keys: bool) -> Iterator[ObjectInfo]:
    columns = {_plain(column): batch.column(index) for index, column in enumerate(batch.schema.names)}
    missing = sorted({_KEY, _SIZE} - set(columns))
    if missing:
        raise SourceError(
            f"{name}: no field {quote(missing)}: add it to the inventory's configuration and wait for its next files"
        )
    rows = pa.table(columns)
    if _IS_LATEST in columns:
        rows = rows.filter(_is_true(rows.column(_IS_LATEST)))
    if _IS_DELETE_MARKER in columns:
        rows = rows.filter(pc.invert(_is_true(rows.column(_IS_DELETE_MARKER))))
    if not tells_rows_apart(rows.column(_KEY)):
        raise SourceError(f"{name}: more than half of its keys are there more than once; use another day's inventory")
    keys = rows.column(_KEY).to_pylist()
    if not has_plain_keys:
        # Bytes that are not UTF-8 stay recognisable, for the scan to refuse the name.
        keys = [unquote_plus(key, errors="surrogateescape") for key in keys]
    sizes = rows.column(_SIZE).cast(pa.int64())
    if sizes.null_count:
        raise SourceError(f"{name}: {counted(sizes.null_count, 'object')} without a size; use another day's inventory")
    etags = rows.column(_ETAG).to_pylist() if _ETAG in columns else [""] * len(keys)
    for key, num_bytes, etag in zip(keys, sizes.to_pylist(), etags, strict=True):
        yield ObjectInfo(key, num_bytes, (etag or "").strip('"'))


def _is_true(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.fill_null(column.cast(pa.bool_()), False)


def _plain(name: str) -> str:
    """Return what ``ETag`` in CSV and ``e_tag`` in Parquet have in common."""
    return name.replace("_", "").lower()


def _refuse_repeats(spec: SourceSpec, listing: Listing) -> None:
    keys = listing.items.column(KEY)
    same = pc.equal(keys.slice(1), keys.slice(0, max(len(keys) - 1, 0)))
    if pc.any(same).as_py():
        repeats = pc.unique(keys.slice(1).filter(same)).to_pylist()
        raise SourceError(
            f"{spec.source}: {counted(len(repeats), 'key')} more than once: {quote(repeats)}; use another day's "
            "inventory"
        )
