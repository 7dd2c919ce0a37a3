"""The plan on disk: `meta/plan.json`, which claims the destination, and `meta/plan/*.parquet`, the items.

A Parquet file holds the items of 16 shards, one row group a shard, so a task reads only its own.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from packer.dataset.document import decode_document
from packer.errors import DataSetError, StoreError
from packer.imaging.values import EncoderFingerprint
from packer.planning.layout import PLAN_KEY, plan_part_key
from packer.planning.plan import Plan, PlanHeader
from packer.stores.store import ObjectNotFoundError, Store

SHARDS_PER_PART = 16
_REMEDY = "start anew with --overwrite"


class PlanDocument(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`meta/plan.json`: the plan's header and what a resumed run must know beside it."""

    plan_id: str
    header: PlanHeader
    encoder: EncoderFingerprint
    """Versions of the libraries that the plan was made with."""
    source_root: str
    """Absolute path or URI that the items' keys start from."""
    options: dict[str, Any]
    """Options of the run as given; a resumed run must have the same."""
    command: str = "pack"
    """What the plan is for, ``pack`` or ``reshard``: only the same command can go on with it."""


def store_plan(store: Store, plan: Plan) -> list[str]:
    """Write the items' files and return their keys. They mean nothing before the claim."""
    plan_id = plan.header.plan_id
    keys = []
    for split, table in zip(plan.header.splits, plan.tables, strict=True):
        bounds = _shard_bounds(table, split.num_shards)
        for first in range(0, split.num_shards, SHARDS_PER_PART):
            last = min(first + SHARDS_PER_PART, split.num_shards)
            sink = pa.BufferOutputStream()
            with pq.ParquetWriter(sink, table.schema, compression="zstd", write_page_checksum=True) as writer:
                for start, stop in zip(bounds[first:last], bounds[first + 1 : last + 1], strict=True):
                    writer.write_table(table.slice(start, stop - start), row_group_size=max(1, stop - start))
            keys.append(plan_part_key(plan_id, split.name, first // SHARDS_PER_PART))
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
    return msgspec.json.format(msgspec.json.encode(document, order="sorted"), indent=2)


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
    """Return the destination's claim, or None. Raises DataSetError for one that cannot be read or was edited."""
    try:
        data = store.get(PLAN_KEY)
    except ObjectNotFoundError:
        return None
    name = f"{store.uri}/{PLAN_KEY}"
    document = decode_document(data, PlanDocument, name=name, remedy=_REMEDY)
    if document.plan_id != document.header.plan_id:
        raise DataSetError(f"{name}: edited after it was written; {_REMEDY}")
    return document


def load_shard_items(store: Store, header: PlanHeader, task: int) -> pa.Table:
    """Return the items of one task's shard in their order.

    Raises:
        DataSetError: the plan's file is missing or not whole.
        OSError: the store failed or refused; nothing is known about the file.
    """
    split, shard_index = header.locate(task)
    key = plan_part_key(header.plan_id, split.name, shard_index // SHARDS_PER_PART)
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
