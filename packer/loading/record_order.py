"""Which records make which batch: pure arithmetic on the manifest's counts, without any stored state.

    lane     lane l of L holds the shards whose index is congruent to l modulo L; L is the world that the data set was
             cut for. In an epoch, a lane's shards come in the order of sha256(seed, epoch, shard).
    block    a shard is cut into ceil(records / shuffle_records) blocks of nearly equal size, which stay in order. The
             records of a block are sorted by sha256(seed, epoch, lane, block, i): blocks are counted through the lane,
             i is the record's number in the block.
    position position p of an epoch is record p div L of lane p mod L.
    step t   holds the positions [t B, (t + 1) B), where B is the number of samples of all ranks. Rank r of W takes the
             positions congruent to r modulo W. So for every W that divides B, a step has the same samples.

Numbers are hashed as decimal texts with a zero byte between them. In an evaluation split, every record comes once, in
stored order, and each rank reads one run of consecutive records.
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
"""Changes whenever the order of records changes; a state of another version is refused."""

_BLOCKS_KEPT_PER_LANE = 4
"""Threads work on batches that are close together, but these may be on both sides of a block's or an epoch's end."""


class RecordRef(NamedTuple):
    """One record of a split."""

    shard: int
    """Index of the record's shard in the order of the shards that are read."""
    record: int
    """Number of the record in the shard, from 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingLayout:
    """The values that decide the order of a training split."""

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
    """A block of a shard in the order of an epoch: the rows [start, stop) of its lane."""

    start: int
    stop: int
    refs: tuple[RecordRef, ...]


class TrainingOrder:
    """The order of a training split, epoch by epoch. It only caches results. Safe to use from any thread."""

    def __init__(self, layout: TrainingLayout) -> None:
        self._layout = layout
        self._bounds = _block_bounds(layout.records_per_shard, layout.shuffle_records)
        self._lock = threading.Lock()
        self._blocks: dict[tuple[int, int, int], _Block] = {}
        self._lane_shards: dict[tuple[int, int], list[int]] = {}

    def records_at(self, epoch: int, positions: Iterable[int]) -> list[RecordRef]:
        """Return the records at some positions of an epoch, each in [0, num_records)."""
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
        """Yield the shard of each position. Positions past the end of the epoch continue in the following epochs.

        Does not hash records.
        """
        layout = self._layout
        for position in positions:
            later, inside = divmod(position, layout.num_records)
            row, lane = divmod(inside, layout.num_lanes)
            yield self._shards_of(epoch + later, lane)[row // layout.records_per_shard]

    def shards_from(self, epoch: int, row: int, lanes: Sequence[int], most: int) -> list[int]:
        """Return the shards that some lanes read from a row of an epoch to the end of the next epoch.

        Soonest first, each once, at most `most`.
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
        """Return the block that contains a row of a lane."""
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
    """Return the positions of a rank's samples in the step that starts at position `first` of an epoch.

    Args:
        batch: samples of a step over all ranks.
        world: number of ranks; divides `batch`.
    """
    return range(first + (rank - first) % world, first + batch, world)


def evaluation_run(num_records: int, *, rank: int, world: int) -> range:
    """Return the run of record numbers, in stored order, that a rank reads of an evaluation split."""
    return range(num_records * rank // world, num_records * (rank + 1) // world)


def stored_records(shard_counts: Sequence[int], positions: Iterable[int]) -> list[RecordRef]:
    """Return the records at some positions of a split in stored order.

    `shard_counts` has the number of records of each shard.
    """
    ends = list(itertools.accumulate(shard_counts))
    found = []
    for position in positions:
        shard = bisect_right(ends, position)
        found.append(RecordRef(shard, position - (ends[shard - 1] if shard else 0)))
    return found


def _block_bounds(num_records: int, shuffle_records: int) -> list[int]:
    """Return the first record of each block of a shard, and the number of the shard's records."""
    num_blocks = max(1, -(-num_records // shuffle_records)) if shuffle_records > 1 else 1
    return [number * num_records // num_blocks for number in range(num_blocks + 1)]


def _digest(*numbers: int) -> bytes:
    return hashlib.sha256("\0".join(map(str, numbers)).encode()).digest()


def _hash_order(prefix: tuple[int, ...], num_records: int) -> list[int]:
    """Return the numbers [0, num_records), sorted by the digest of the prefix and the number."""
    head = "".join(f"{number}\0" for number in prefix).encode()
    sha256 = hashlib.sha256
    digests = [sha256(head + b"%d" % number).digest() for number in range(num_records)]
    return sorted(range(num_records), key=digests.__getitem__)


def _drop_oldest(kept: dict[_K, _V], most: int) -> None:
    while len(kept) > most:
        del kept[next(iter(kept))]
