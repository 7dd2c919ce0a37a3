"""A finished data set, opened through its manifest: nothing in a data set is found by listing a folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from packer.dataset.load import load_manifest
from packer.dataset.manifest import Manifest, ShardEntry
from packer.errors import DataSetError
from packer.formats.container import Record
from packer.planning.layout import MANIFEST_KEY
from packer.planning.rank_shards import shards_of_rank
from packer.reading.read_spec import ReadSpec, in_epoch_order
from packer.reading.shard_file import ShardFile, missing_shard_error, wrong_size_error
from packer.reading.shard_sequence import iter_records
from packer.reading.source import Share, count_steps
from packer.shown_text import counted
from packer.specs import DEFAULT_STORE, StoreOptions
from packer.stores.open_store import open_store
from packer.stores.store import Store


@dataclass(frozen=True, slots=True, repr=False)
class DataSet:
    """What a data set holds and where; a RecordSource. Belongs to one process, as its store does."""

    uri: str
    manifest: Manifest
    store: Store

    def __repr__(self) -> str:
        splits = "; ".join(
            f"{name}: {counted(split.num_records, 'record')} in {counted(len(split.shards), 'shard')}"
            for name, split in self.manifest.splits.items()
        )
        classes = counted(self.manifest.num_classes, "class", "classes")
        labels = classes if self.manifest.num_classes else f"labels: {self.manifest.label_kind}"
        return f"<DataSet {self.uri}: {self.manifest.format}, {splits}; {labels}>"

    def shards_for(self, split: str, *, rank: int, world: int) -> tuple[ShardEntry, ...]:
        """Return the shards that `rank` of `world` reads, in the manifest's order.

        Raises:
            DataSetError: there is no such split.
            OptionsError: `rank` is outside [0, world), or the split's shards do not divide by `world`.
        """
        shards = self.manifest.split(split).shards
        return tuple(shards[index] for index in shards_of_rank(len(shards), rank=rank, world=world))

    def shard_file(self, shard: ShardEntry) -> ShardFile:
        """Return where a shard of the manifest is."""
        return ShardFile(self.store, shard.key, shard, self.manifest.format)

    def steps(self, split: str, *, world: int, batch_size: int) -> int:
        """Return the batches that every rank runs in one pass over a split. See `count_steps`."""
        return count_steps(self, split, world=world, batch_size=batch_size)

    def check(self, split: str, *, rank: int, world: int) -> Share:
        """Check by one listing that the rank's shards are there in the sizes that the manifest says.

        Raises as `RecordSource.check`, also DataSetError where the store cannot be listed.
        """
        shards = self.shards_for(split, rank=rank, world=world)
        try:
            num_bytes = {found.key: found.num_bytes for found in self.store.list(f"{split}/")}
        except OSError as error:
            raise DataSetError(f"{self.uri}: cannot list the shards of {split!r}: {error}") from error
        for shard in shards:
            if shard.key not in num_bytes:
                raise missing_shard_error(self.shard_file(shard))
            if num_bytes[shard.key] != shard.num_bytes:
                raise wrong_size_error(self.shard_file(shard), found=num_bytes[shard.key])
        return Share(
            split=split, delivery="from where the data set is", num_shards=len(self.manifest.split(split).shards)
        )

    def records(self, split: str, spec: ReadSpec, *, epoch: int) -> Iterator[tuple[str, Record]]:
        """Yield the rank's records. Raises as `RecordSource.records`."""
        return iter_records(self.files(split, spec, epoch=epoch), check=spec.check)

    def files(self, split: str, spec: ReadSpec, *, epoch: int) -> tuple[ShardFile, ...]:
        """Return the rank's shards in the order of the epoch. Raises as `shards_for`."""
        own = self.shards_for(split, rank=spec.rank, world=spec.world)
        return tuple(self.shard_file(shard) for shard in in_epoch_order(own, split, seed=spec.seed, epoch=epoch))


def open_dataset(uri: str, options: StoreOptions = DEFAULT_STORE) -> DataSet:
    """Open a finished data set by its path or URI; `options` say how a remote place is reached.

    Raises:
        NotADataSetError: no manifest is there.
        DataSetError: it cannot be read, or it is not what was written.
        OptionsError: the URI's scheme is not known.
    """
    store = open_store(uri, options)
    try:
        manifest = load_manifest(store)
    except OSError as error:
        raise DataSetError(f"{uri}: cannot read {MANIFEST_KEY}: {error}") from error
    return DataSet(uri, manifest, store)
