"""The plan on disk: `meta/plan.json`, which claims the destination, and `meta/plan/*.parquet`, the items.

A Parquet file holds the items of 16 shards, one row group a shard, so a task reads only its own.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

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
    since,
)
from packer.dataset.recordstable import is_same_parquet
from packer.errors import DataSetError, StoreError
from packer.imaging.values import EncoderFingerprint
from packer.options import PackOptions
from packer.planning.layout import PLAN_KEY, plan_part_key, planned_copies_key, planned_near_key
from packer.planning.plan import Plan, PlanHeader, PlannedSplit, digest_of_header
from packer.planning.reordered import Reordered
from packer.stores.store import ObjectNotFoundError, Store, Tagged

PLAN_DOCUMENT_VERSION = 2
"""The highest version of `meta/plan.json` that can be read."""
SHARDS_PER_PART = 16
_REMEDY = "start anew with `overwrite=True`"


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
    copies_sha256: Annotated[str | msgspec.UnsetType, since(2)] = msgspec.UNSET
    """Digest of the sets of exact copies that ``dedupe=True`` left items out of; set where it left out any."""
    near_sha256: Annotated[str | msgspec.UnsetType, since(2)] = msgspec.UNSET
    """Digest of the list of near-duplicates that the plan was made with; set where they were sought."""
    digest: str | msgspec.UnsetType = msgspec.UNSET
    """The sha256 of this document with the digest empty; release 0.1.0 wrote none, and passes it over."""


class _Claim(msgspec.Struct, frozen=True, kw_only=True):
    """What is read of a plan's document before it is decoded."""

    plan_id: str
    header: msgspec.Raw


class StagedPlan(Protocol):
    """A plan whose items are in files already, somewhere else."""

    @property
    def plan_id(self) -> str:
        """See `Plan`."""

    @property
    def header(self) -> PlanHeader:
        """See `Plan`."""

    @property
    def source_bytes(self) -> int:
        """See `Plan`."""

    def put_parts(self, store: Store) -> list[str]:
        """Do what `store_plan` does."""


def store_plan(store: Store, plan: Plan | StagedPlan) -> list[str]:
    """Write the items' files and return their keys. They mean nothing before the claim."""
    if not isinstance(plan, Plan):
        return plan.put_parts(store)
    keys = []
    for split, table in zip(plan.header.splits, plan.tables, strict=True):
        bounds = _shard_bounds(table, split.num_shards)
        for first in range(0, split.num_shards, SHARDS_PER_PART):
            last = min(first + SHARDS_PER_PART, split.num_shards)
            by_shard = zip(bounds[first:last], bounds[first + 1 : last + 1], strict=True)
            keys.append(plan_part_key(plan.plan_id, split.name, first // SHARDS_PER_PART))
            store.put(keys[-1], [encode_part([table.slice(start, stop - start) for start, stop in by_shard])])
    if plan.copies is not None:
        keys.append(planned_copies_key(plan.plan_id))
        store.put(keys[-1], [encode_part([plan.copies])])
    if plan.near is not None:
        keys.append(planned_near_key(plan.plan_id))
        store.put(keys[-1], [encode_part([plan.near])])
    return keys


def encode_part(by_shard: Sequence[pa.Table]) -> memoryview:
    """Return the items of some shards as a Parquet file; its bytes depend on them and on Arrow's version alone."""
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, by_shard[0].schema, compression="zstd", write_page_checksum=True) as writer:
        for items in by_shard:
            writer.write_table(items, row_group_size=max(1, items.num_rows))
    return memoryview(sink.getvalue()).cast("B")


def decode_part(content: bytes | memoryview) -> pa.Table:
    """Return all items of a Parquet file that `encode_part` made."""
    with pq.ParquetFile(pa.BufferReader(content)) as file:
        return file.read(use_threads=False)


def _shard_bounds(table: Reordered, num_shards: int) -> list[int]:
    """Return where each shard's rows start, and the table's end; the table is sorted by shard."""
    shard = table.column("shard").to_numpy()
    return [int(bound) for bound in shard.searchsorted(range(num_shards + 1))]


def find_object(store: Store, key: str) -> Tagged | None:
    """Return an object as it is, or None."""
    try:
        return store.get_tagged(key)
    except ObjectNotFoundError:
        return None


def find_claim(store: Store) -> Tagged | None:
    """Return `meta/plan.json` as it is, or None."""
    return find_object(store, PLAN_KEY)


def claim(store: Store, document: PlanDocument, *, found: Tagged | None) -> bool:
    """Write `meta/plan.json` unless there is another than `found`; return whether the destination is now this run's."""
    if found is None:
        return store.put_if_absent(PLAN_KEY, [encode_claim(document)])
    return store.put_if_same(PLAN_KEY, [encode_claim(document)], found.tag)


def encode_claim(document: PlanDocument) -> bytes:
    """Return the content of `meta/plan.json`."""
    later = later_fields(PackOptions)
    versions = (later.get(name, 1) for name in document.options)
    version = max(lowest_version(document), *versions)
    return encode_signed(msgspec.structs.replace(document, version=version))


def replace_claim(store: Store, document: PlanDocument) -> None:
    """Write `meta/plan.json` in the place of one that is cut."""
    store.put(PLAN_KEY, [encode_claim(document)])


def is_claim_cut(store: Store) -> bool:
    """Say whether there is a claim without its end, such as nothing or zeros: a power cut leaves such files."""
    try:
        data = store.get(PLAN_KEY).rstrip()
        msgspec.json.decode(data)
    except (ObjectNotFoundError, RecursionError):
        return False
    except (msgspec.DecodeError, UnicodeDecodeError):
        # Lines within are indented, so only the last brace begins one.
        return not data.endswith(b"\n}" if b"\n" in data else b"}")
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
    return parse_claim(data, name=f"{store.uri}/{PLAN_KEY}")


def parse_claim(data: bytes, *, name: str) -> PlanDocument:
    """Parse `meta/plan.json`; `name` is its URI. Raises DataSetError where it cannot be read or was edited."""
    place = Place(name=name, remedy=_REMEDY)
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
    part_index, group = divmod(shard_index, SHARDS_PER_PART)
    with _open_part(store, plan_part_key(plan.plan_id, split.name, part_index)) as part:
        return part.load(group, split, shard_index).drop_columns(["shard"])


def iter_parts(store: Store, plan: PlanDocument, split: PlannedSplit) -> Iterator[list[pa.Table]]:
    """Yield the items of each file of a split's shards, by shard, in their order; they have the column `shard`.

    Raises as `load_shard_items`, also DataSetError for a file that is not, byte for byte, the one that was written.
    """
    for part_index, first in enumerate(range(0, split.num_shards, SHARDS_PER_PART)):
        key = plan_part_key(plan.plan_id, split.name, part_index)
        with _open_part(store, key) as part:
            shards = range(first, min(first + SHARDS_PER_PART, split.num_shards))
            by_shard = [part.load(shard_index - first, split, shard_index) for shard_index in shards]
            if not is_same_parquet(encode_part(part.restore_types(by_shard)), part.content):
                raise DataSetError(f"{part.name}: is not the file that was written with the plan; {_REMEDY}")
        yield by_shard


def load_planned_copies(store: Store, plan: PlanDocument) -> pa.Table:
    """Return the sets of copies that a plan left items out of. Raises as `load_shard_items`."""
    with _open_part(store, planned_copies_key(plan.plan_id)) as part, _reading(part.name):
        return part.parquet.read()


def load_planned_near(store: Store, plan: PlanDocument) -> pa.Table:
    """Return the near-duplicates that a plan was made with. Raises as `load_shard_items`."""
    with _open_part(store, planned_near_key(plan.plan_id)) as part, _reading(part.name):
        return part.parquet.read()


@dataclass(frozen=True, slots=True)
class _Part:
    """A file of items that is open."""

    name: str
    content: memoryview
    parquet: pq.ParquetFile

    def load(self, group: int, split: PlannedSplit, shard_index: int) -> pa.Table:
        """Return the items of a shard. Raises DataSetError unless there are as many as planned."""
        with _reading(self.name):
            table = self.parquet.read_row_group(group, use_threads=False)  # see `decode_records`
            is_its_own = pc.all(pc.equal(table.column("shard"), shard_index)).as_py()
        expected = split.num_items_of(shard_index)
        if table.num_rows != expected or not is_its_own:
            raise DataSetError(
                f"{self.name}: expected {expected} items of shard {shard_index}, found {table.num_rows}; {_REMEDY}"
            )
        return table

    def restore_types(self, by_shard: Sequence[pa.Table]) -> list[pa.Table]:
        """Return tables with the types that they were written with.

        Parquet has a name of its own for the values of a list. Arrow's is in the schema that Arrow stores beside it.
        """
        with _reading(self.name):
            stored = base64.b64decode(self.parquet.metadata.metadata[b"ARROW:schema"])
            schema = pa.ipc.read_schema(pa.BufferReader(stored))
            return [table.cast(schema) for table in by_shard]


@contextmanager
def _open_part(store: Store, key: str) -> Iterator[_Part]:
    name = f"{store.uri}/{key}"
    try:
        content = store.view(key)
    except StoreError:
        raise
    except OSError as error:
        raise _unreadable(name, error) from None
    with _reading(name):
        parquet = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
    with parquet:
        yield _Part(name, content, parquet)


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """Tell what is wrong with a Parquet file in memory; an OSError is Arrow's own."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise _unreadable(name, error) from None


def _unreadable(name: str, error: Exception) -> DataSetError:
    problem = " ".join(str(error).split())
    return DataSetError(f"{name}: the plan's items cannot be read ({problem}); {_REMEDY}")
