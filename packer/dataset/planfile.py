"""The plan on disk: `meta/plan.json`, which claims the destination, and `meta/plan/*.parquet`, the items.

A Parquet file holds the items of 16 shards, one row group a shard, so a task reads only its own.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from packer.dataset.document import (
    Place,
    decode_document,
    decode_versioned,
    encode_signed,
    later_fields,
    lowest_version,
)
from packer.errors import DataSetError, StoreError
from packer.imaging.values import EncoderFingerprint
from packer.options import PackOptions
from packer.planning.layout import PLAN_KEY, plan_part_key
from packer.planning.plan import Plan, PlanHeader, digest_of_header
from packer.stores.store import ObjectNotFoundError, Store

PLAN_DOCUMENT_VERSION = 1
"""The highest version of `meta/plan.json` that can be read."""
SHARDS_PER_PART = 16
_REMEDY = "start anew with --overwrite"


class PlanDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`meta/plan.json`: the plan's header and what a resumed run must know beside it."""

    version: int = 1
    """Of this document's shape; release 0.1.0 wrote none."""
    plan_id: str
    """Digest of the header as it was written; it is never computed anew from what was read."""
    header: PlanHeader
    encoder: EncoderFingerprint
    """Versions of the libraries that the plan was made with."""
    source_root: str
    """Absolute path or URI that the items' keys start from."""
    options: dict[str, Any]
    """Options of the run as given; a resumed run must have the same. One that is not there has its default."""
    command: str = "pack"
    """What the plan is for, ``pack`` or ``reshard``: only the same command can go on with it."""
    digest: str | msgspec.UnsetType = msgspec.UNSET
    """The sha256 of this document with the digest empty; release 0.1.0 wrote none, and passes it over."""


class _Claim(msgspec.Struct, frozen=True, kw_only=True):
    """What is read of a plan's document before it is decoded."""

    plan_id: str
    header: msgspec.Raw


def store_plan(store: Store, plan: Plan) -> list[str]:
    """Write the items' files and return their keys. They mean nothing before the claim."""
    keys = []
    for split, table in zip(plan.header.splits, plan.tables, strict=True):
        bounds = _shard_bounds(table, split.num_shards)
        for first in range(0, split.num_shards, SHARDS_PER_PART):
            last = min(first + SHARDS_PER_PART, split.num_shards)
            sink = pa.BufferOutputStream()
            with pq.ParquetWriter(sink, table.schema, compression="zstd", write_page_checksum=True) as writer:
                for start, stop in zip(bounds[first:last], bounds[first + 1 : last + 1], strict=True):
                    writer.write_table(table.slice(start, stop - start), row_group_size=max(1, stop - start))
            keys.append(plan_part_key(plan.plan_id, split.name, first // SHARDS_PER_PART))
            store.put(keys[-1], [memoryview(sink.getvalue())])
    return keys


def _shard_bounds(table: pa.Table, num_shards: int) -> list[int]:
    """Return where each shard's rows start, and the table's end; the table is sorted by shard."""
    shard = table.column("shard").to_numpy()
    return [int(bound) for bound in shard.searchsorted(range(num_shards + 1))]


def claim(store: Store, document: PlanDocument) -> bool:
    """Write `meta/plan.json` unless one is there; return whether the destination is now this run's."""
    return store.put_if_absent(PLAN_KEY, [_encode(document)])


def _encode(document: PlanDocument) -> bytes:
    later = later_fields(PackOptions)
    versions = (later.get(name, 1) for name in document.options)
    version = max(lowest_version(document), *versions)
    return encode_signed(msgspec.structs.replace(document, version=version))


def replace_claim(store: Store, document: PlanDocument) -> None:
    """Write `meta/plan.json` in the place of one that is cut."""
    store.put(PLAN_KEY, [_encode(document)])


def is_claim_cut(store: Store) -> bool:
    """Say whether there is a claim that holds no JSON, such as nothing or zeros: a power cut leaves such files."""
    try:
        msgspec.json.decode(store.get(PLAN_KEY))
    except ObjectNotFoundError:
        return False
    except (msgspec.DecodeError, UnicodeDecodeError):
        return True
    except RecursionError:
        return False
    return False


def load_plan(store: Store) -> PlanDocument | None:
    """Return the destination's claim, or None.

    Raises:
        NewerVersionError: a newer release wrote it.
        DataSetError: it cannot be read, or was edited.
    """
    try:
        data = store.get(PLAN_KEY)
    except ObjectNotFoundError:
        return None
    place = Place(name=f"{store.uri}/{PLAN_KEY}", remedy=_REMEDY)
    document = decode_versioned(data, PlanDocument, newest=PLAN_DOCUMENT_VERSION, place=place)
    claimed = decode_document(data, _Claim, name=place.name, remedy=place.remedy)
    if claimed.plan_id != digest_of_header(bytes(claimed.header)):
        raise DataSetError(f"{place.name}: edited after it was written: its plan_id does not fit its header; {_REMEDY}")
    return document


def load_shard_items(store: Store, plan: PlanDocument, task: int) -> pa.Table:
    """Return the items of one task's shard in their order.

    Raises:
        DataSetError: the plan's file is missing or not whole.
        OSError: the store failed or refused; nothing is known about the file.
    """
    split, shard_index = plan.header.locate(task)
    key = plan_part_key(plan.plan_id, split.name, shard_index // SHARDS_PER_PART)
    name = f"{store.uri}/{key}"
    try:
        content = store.view(key)
    except StoreError:
        raise
    except OSError as error:
        raise _unreadable(name, error) from None
    try:
        parquet = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
        table = parquet.read_row_group(shard_index % SHARDS_PER_PART)
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:  # Arrow's own OSError, for bytes in memory
        raise _unreadable(name, error) from None
    expected = split.num_items_of(shard_index)
    if table.num_rows != expected or not pc.all(pc.equal(table.column("shard"), shard_index)).as_py():
        raise DataSetError(
            f"{name}: expected {expected} items of shard {shard_index}, found {table.num_rows}; {_REMEDY}"
        )
    return table.drop_columns(["shard"])


def _unreadable(name: str, error: Exception) -> DataSetError:
    problem = " ".join(str(error).split())
    return DataSetError(f"{name}: the plan's items cannot be read ({problem}); {_REMEDY}")
