"""Stages tables of rows: Parquet files, each read once by a worker, and Spark DataFrames."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from packer.clusterplan.row_images import find_image_column, spill_images
from packer.clusterplan.row_items import RowFacts, row_facts
from packer.clusterplan.staging import Staging
from packer.engines.engine import Engine, Tick
from packer.engines.spark_frame import take_frame
from packer.errors import SourceError
from packer.sources.items import SourceSpec
from packer.sources.open_source import find_parquet_listing, find_rows
from packer.sources.tables import find_heavy_columns, left_out_notice
from packer.stores.open_store import open_store

_ROWS_PER_TABLE = 131_072
_BYTES_PER_TABLE = 64_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ParquetListing:
    """Parquet files with a path in each row."""

    folder: str
    """Path or URI of the folder of the files."""
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedRows:
    """The staged rows of a table, as facts."""

    facts: tuple[RowFacts, ...]
    notices: tuple[str, ...]


def find_listing(spec: SourceSpec) -> ParquetListing | None:
    """Return the files of a source that is a Parquet listing; None for every other source."""
    if spec.split_folders or spec.flat:
        return None
    files = find_parquet_listing(spec)
    if not files or find_rows(spec) is not None:
        return None
    folder = files[0].rpartition("/")[0]
    return ParquetListing(folder=folder, keys=tuple(file[len(folder) + 1 :] for file in files))


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesContext:
    """Arguments of the tasks that read the files."""

    staging: Staging
    listing: ParquetListing
    spec: SourceSpec
    left_out: frozenset[str]
    """Names of columns that are too large for extra columns."""


def stage_files(engine: Engine, staging: Staging, listing: ParquetListing, spec: SourceSpec) -> StagedRows:
    """Stage all rows. Raises SourceError if files cannot be read, or the roles of their columns are not clear."""
    store = open_store(listing.folder, spec.store)
    heavy = find_heavy_columns({f"{store.uri}/{key}": store.open(key) for key in listing.keys})
    context = FilesContext(staging=staging, listing=listing, spec=spec, left_out=heavy)
    found = engine.run(stage_file, context, range(len(listing.keys)), lambda *_: None)
    facts = sorted((each for several in found for each in several), key=lambda each: each.name)
    return StagedRows(facts=tuple(facts), notices=tuple(left_out_notice(name) for name in sorted(heavy)))


def stage_file(context: FilesContext, task: int, tick: Tick) -> list[RowFacts]:
    """Stage the rows of one file."""
    store = open_store(context.listing.folder, context.spec.store)
    name = f"{store.uri}/{context.listing.keys[task]}"
    try:
        with store.open(context.listing.keys[task]) as stream, pq.ParquetFile(stream) as file:
            names = [each for each in file.schema_arrow.names if each not in context.left_out]
            batches = file.iter_batches(16_384, columns=names)
            tables = _collect(batches)
            return [
                row_facts(context.staging, f"rows-{task:05d}-{index:04d}", table, context.spec)
                for index, table in enumerate(tables)
            ]
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise SourceError(f"{name}: {' '.join(str(error).split())}") from None


def stage_frame(staging: Staging, images: Staging, frame: Any, spec: SourceSpec) -> StagedRows:
    """Stage all rows of a Spark DataFrame, which is computed once; images in the rows go to `images`.

    Raises as `stage_files`.
    """
    found = take_frame(frame, functools.partial(stage_batches, staging, images, spec))
    facts = sorted((each for several in found for each in several), key=lambda each: each.name)
    return StagedRows(facts=tuple(facts), notices=())


def stage_batches(
    staging: Staging, images: Staging, spec: SourceSpec, name: str, batches: Iterator[pa.RecordBatch]
) -> list[RowFacts]:
    """Stage rows that come in batches; the names of their tables contain `name`."""
    first = next(batches, None)
    if first is None:
        return []
    batches = itertools.chain([first], batches)
    column = find_image_column(first.schema, spec)
    if column is not None:
        batches = spill_images(images, f"images-{name}", batches, column)
    tables = enumerate(_collect(batches))
    return [row_facts(staging, f"rows-{name}-{index:04d}", table, spec) for index, table in tables]


def _collect(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Yield the rows in tables of about `_ROWS_PER_TABLE` rows or `_BYTES_PER_TABLE` bytes."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(map(len, held)) >= _ROWS_PER_TABLE or sum(each.nbytes for each in held) >= _BYTES_PER_TABLE:
            yield pa.Table.from_batches(held)
            held = []
    if held:
        yield pa.Table.from_batches(held)
