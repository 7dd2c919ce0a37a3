"""Which records make which batch: pure arithmetic on counts of the manifest, so that nothing has to be remembered.

    lane     holds the shards whose index is congruent to it modulo the number of lanes (the world that the data set
             was cut for); in an epoch they come in the order of sha256(seed, epoch, shard)
    block    a piece of one shard: ceil(records / shuffle_records) pieces of nearly equal size, in their order; its
             records are sorted by sha256(seed, epoch, lane, block, i), blocks counted through the lane, i in the block
    position p of an epoch is record p div L of lane p mod L, for L lanes
    step t   holds the positions [t B, (t + 1) B), B being the samples of all ranks; rank r of W takes those that are
             congruent to r modulo W, so every world that divides B has the same samples in each step

Numbers are hashed as decimal texts with a zero byte between them. An evaluation split has every record once, in stored
order, each rank a run of them.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from packer.errors import OptionsError

_K = TypeVar("_K")
_V = TypeVar("_V")

ORDER_VERSION = 1
"""Changes with the order of records; a state of another version is refused."""

_BLOCKS_KEPT_PER_LANE = 4
"""Threads are at most a few batches apart, which may lie on both sides of a block's end, or an epoch's."""


class RecordRef(NamedTuple):
    """One record of a split."""

    shard: int
    """Index of its shard in the manifest's order."""
    record: int
    """Number of the record in the shard, from 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingLayout:
    """What the order of a training split depends on."""

    num_shards: int
    records_per_shard: int
    num_lanes: int
    """Divides the number of shards."""
    seed: int
    shuffle_records: int = 1024
    """Most records of a block; 0 or 1 keeps each shard's own order."""

    def __post_init__(self) -> None:
        if self.num_lanes < 1 or self.num_shards % self.num_lanes:
            raise OptionsError(f"expected lanes that divide {self.num_shards} shards, got {self.num_lanes}")

    @property
    def num_records(self) -> int:
        return self.num_shards * self.records_per_shard


@dataclass(frozen=True, slots=True)
class _Block:
    """A piece of a shard in the order of an epoch: the rows [start, stop) of its lane."""

    start: int
    stop: int
    refs: tuple[RecordRef, ...]


class TrainingOrder:
    """The order of a training split, epoch by epoch. What it keeps can be computed anew; any thread may ask."""

    def __init__(self, layout: TrainingLayout) -> None:
        self._layout = layout
        self._bounds = _block_bounds(layout.records_per_shard, layout.shuffle_records)
        self._lock = threading.Lock()
        self._blocks: dict[tuple[int, int, int], _Block] = {}
        self._lane_shards: dict[tuple[int, int], list[int]] = {}

    def records_at(self, epoch: int, positions: Iterable[int]) -> list[RecordRef]:
        """Return the records at positions of an epoch, each in [0, number of records)."""
        num_lanes = self._layout.num_lanes
        current: dict[int, _Block] = {}
        found = []
        for position in positions:
            row, lane = divmod(position, num_lanes)
            block = current.get(lane)
            if block is None or not block.start <= row < block.stop:
                block = current[lane] = self._block_of(epoch, lane, row)
            found.append(block.refs[row - block.start])
        return found

    def shards_at(self, epoch: int, positions: Iterable[int]) -> Iterator[int]:
        """Yield the shards that hold the records at positions; those past an epoch's last are of the epochs after it.

        Costs no hash of a record.
        """
        layout = self._layout
        for position in positions:
            later, inside = divmod(position, layout.num_records)
            row, lane = divmod(inside, layout.num_lanes)
            yield self._shards_of(epoch + later, lane)[row // layout.records_per_shard]

    def shards_from(self, epoch: int, row: int, lanes: Sequence[int], most: int) -> list[int]:
        """Return the shards that lanes read from a row of an epoch to the end of the next one.

        Soonest first, each once, at most so many.
        """
        found: dict[int, None] = {}
        shards_per_lane = self._layout.num_shards // self._layout.num_lanes
        for index in range(row // self._layout.records_per_shard, 2 * shards_per_lane):
            later, place = divmod(index, shards_per_lane)
            found.update((self._shards_of(epoch + later, lane)[place], None) for lane in lanes)
            if len(found) >= most:
                break
        return list(found)[:most]

    def _block_of(self, epoch: int, lane: int, row: int) -> _Block:
        """Return the block of a lane's row."""
        num_records = self._layout.records_per_shard
        place, inside = divmod(row, num_records)
        piece = bisect_right(self._bounds, inside) - 1
        key = (epoch, lane, place * (len(self._bounds) - 1) + piece)
        with self._lock:
            known = self._blocks.get(key)
        if known is None:
            known = self._sorted_block(key, self._shards_of(epoch, lane)[place], piece)
            with self._lock:
                self._blocks[key] = known
                _drop_oldest(self._blocks, _BLOCKS_KEPT_PER_LANE * self._layout.num_lanes)
        return known

    def _sorted_block(self, key: tuple[int, int, int], shard: int, piece: int) -> _Block:
        epoch, lane, block = key
        first, stop = self._bounds[piece], self._bounds[piece + 1]
        numbers: Iterable[int] = range(stop - first)
        if self._layout.shuffle_records > 1:
            numbers = _hash_order((self._layout.seed, epoch, lane, block), stop - first)
        start = (block // (len(self._bounds) - 1)) * self._layout.records_per_shard + first
        refs = tuple(RecordRef(shard, first + number) for number in numbers)
        return _Block(start, start + len(refs), refs)

    def _shards_of(self, epoch: int, lane: int) -> list[int]:
        """Return a lane's shards in the order of an epoch."""
        layout = self._layout
        with self._lock:
            known = self._lane_shards.get((epoch, lane))
            if known is None:
                own = range(lane, layout.num_shards, layout.num_lanes)
                known = sorted(own, key=lambda shard: _digest(layout.seed, epoch, shard))
                self._lane_shards[epoch, lane] = known
                _drop_oldest(self._lane_shards, _BLOCKS_KEPT_PER_LANE * layout.num_lanes)
            return known


def step_positions(first: int, *, batch: int, rank: int, world: int) -> range:
    """Return the positions of a rank's samples in the step that begins at position `first` of an epoch.

    Args:
        batch: samples of all ranks in a step.
        world: number of ranks; divides `batch`.
    """
    return range(first + (rank - first) % world, first + batch, world)


def evaluation_run(num_records: int, *, rank: int, world: int) -> range:
    """Return the run of a split's records, counted in stored order, that a rank of an evaluation sees."""
    return range(num_records * rank // world, num_records * (rank + 1) // world)


def stored_records(shard_counts: Sequence[int], positions: Iterable[int]) -> list[RecordRef]:
    """Return the records at positions of a split in stored order; `shard_counts` are the records of its shards."""
    ends = list(itertools.accumulate(shard_counts))
    found = []
    for position in positions:
        shard = bisect_right(ends, position)
        found.append(RecordRef(shard, position - (ends[shard - 1] if shard else 0)))
    return found


def _block_bounds(num_records: int, shuffle_records: int) -> list[int]:
    """Return where the blocks of a shard begin, and its end."""
    num_blocks = max(1, -(-num_records // shuffle_records)) if shuffle_records > 1 else 1
    return [number * num_records // num_blocks for number in range(num_blocks + 1)]


def _digest(*numbers: int) -> bytes:
    return hashlib.sha256("\0".join(map(str, numbers)).encode()).digest()


def _hash_order(prefix: tuple[int, ...], num_records: int) -> list[int]:
    """Return 0 to `num_records` - 1 in the order of the digests of the prefix and each of them."""
    head = "".join(f"{number}\0" for number in prefix).encode()
    sha256 = hashlib.sha256
    digests = [sha256(head + b"%d" % number).digest() for number in range(num_records)]
    return sorted(range(num_records), key=digests.__getitem__)


def _drop_oldest(kept: dict[_K, _V], most: int) -> None:
    while len(kept) > most:
        del kept[next(iter(kept))]
