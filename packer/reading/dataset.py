"""A finished data set, opened through its manifest: nothing in a data set is found by listing a folder."""

from __future__ import annotations

from dataclasses import dataclass

from packer.dataset.load import load_manifest
from packer.dataset.model import Manifest, ShardEntry
from packer.errors import DataSetError, OptionsError
from packer.planning.names import MANIFEST_KEY
from packer.planning.ranks import evaluation_steps, shards_of_rank, training_steps
from packer.specs import is_training_split
from packer.stores.base import Store
from packer.stores.open import open_store


@dataclass(frozen=True, slots=True)
class DataSet:
    """What a data set holds and where. Belongs to one process, as its store does; others open its `uri`."""

    uri: str
    manifest: Manifest
    store: Store

    def shards_for(self, split: str, *, rank: int, world: int) -> tuple[ShardEntry, ...]:
        """Return the shards that `rank` of `world` reads, in the manifest's order.

        Raises:
            DataSetError: there is no such split.
            OptionsError: `rank` is outside [0, world), or the split's shards do not divide by `world`.
        """
        shards = self.manifest.split(split).shards
        return tuple(shards[index] for index in shards_of_rank(len(shards), rank=rank, world=world))

    def steps(self, split: str, *, world: int, batch_size: int) -> int:
        """Return the batches that every rank runs in one pass over a split.

        A training pass leaves out a last short batch; an evaluation pass has room for every record of any rank.

        Raises:
            DataSetError: there is no such split, or it has no records.
            OptionsError: the shards do not divide by `world`, or a rank cannot fill one training batch.
        """
        entry = self.manifest.split(split)
        if entry.num_records == 0:
            raise DataSetError(f"{self.uri}: expected records in split {split!r}, found none")
        if batch_size < 1:
            raise OptionsError(f"batch size: expected at least 1, got {batch_size}")
        own = self.shards_for(split, rank=0, world=world)
        if is_training_split(split):
            return training_steps(sum(shard.num_records for shard in own), batch_size=batch_size)
        counts = [shard.num_records for shard in entry.shards]
        return evaluation_steps(counts, world=world, batch_size=batch_size)

    def check_files(self, split: str, *, rank: int, world: int) -> None:
        """Check that the shards of a rank are there in the sizes that the manifest says, by one listing.

        Raises:
            DataSetError: a shard is missing or of another size, or the store cannot be listed.
            OptionsError: as `shards_for`.
        """
        shards = self.shards_for(split, rank=rank, world=world)
        try:
            num_bytes = {found.key: found.num_bytes for found in self.store.list(f"{split}/")}
        except OSError as error:
            raise DataSetError(f"{self.uri}: cannot list the shards of {split!r}: {error}") from error
        for shard in shards:
            if shard.key not in num_bytes:
                raise missing_shard_error(self, shard)
            if num_bytes[shard.key] != shard.num_bytes:
                raise wrong_size_error(self, shard, found=num_bytes[shard.key])


def shard_name(dataset: DataSet, shard: ShardEntry) -> str:
    """Return the shard's path or URI, for messages."""
    return f"{dataset.uri.rstrip('/')}/{shard.key}"


def missing_shard_error(dataset: DataSet, shard: ShardEntry) -> DataSetError:
    """Return the error of a shard that the manifest lists and the store lacks."""
    return DataSetError(f"{shard_name(dataset, shard)}: expected a shard of {shard.num_bytes:,} bytes, found no file")


def wrong_size_error(dataset: DataSet, shard: ShardEntry, *, found: int) -> DataSetError:
    """Return the error of a shard of `found` bytes where the manifest has another size."""
    return DataSetError(
        f"{shard_name(dataset, shard)}: expected {shard.num_bytes:,} bytes, found {found:,}; {NOT_AS_PACKED}"
    )


NOT_AS_PACKED = "the file is not the one that was packed; shardpack verify lists all such files"


def open_dataset(uri: str) -> DataSet:
    """Open a finished data set by its path or URI.

    Raises:
        NotADataSetError: no manifest is there.
        DataSetError: it cannot be read, or it is not what was written.
        OptionsError: the URI's scheme is not known.
    """
    store = open_store(uri)
    try:
        manifest = load_manifest(store)
    except OSError as error:
        raise DataSetError(f"{uri}: cannot read {MANIFEST_KEY}: {error}") from error
    return DataSet(uri, manifest, store)
