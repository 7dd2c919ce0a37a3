"""Which rank reads which shard, and for how many steps: pure arithmetic on counts from the manifest.

    shard   0 1 2 3 4 5 6 7        4 ranks, 2 shards each
    rank    0 1 2 3 0 1 2 3        rank r reads the shards whose index mod world is r

Training shards are equal in records, so equal numbers of shards mean equal numbers of records and no rank waits for
another. Evaluation shards differ by a few records; every rank runs as many steps as the fullest assignment could need
and pads the rest with samples of weight zero.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from packer.errors import OptionsError


def shards_of_rank(num_shards: int, *, rank: int, world: int) -> range:
    """Return the indices of the shards that `rank` of `world` reads, ascending.

    Raises:
        OptionsError: unless `rank` is in [0, world) and the shards divide evenly by the world.
    """
    if not 0 <= rank < world:
        raise OptionsError(f"rank: expected 0 to {world - 1}, got {rank}")
    if num_shards % world:
        raise OptionsError(
            f"{num_shards} shards do not divide by {world} ranks, so some would run out first; "
            f"pack for {world} GPUs, or reshard: shardpack reshard DEST NEW `gpus={world}`"
        )
    return range(rank, num_shards, world)


def epoch_order(shard_indices: Sequence[int], *, seed: int, epoch: int) -> list[int]:
    """Return the shards in the order of one epoch: by sha256(seed, epoch, index), so it needs no generator's state."""

    def rank_key(index: int) -> bytes:
        return hashlib.sha256(f"{seed}\0{epoch}\0{index}".encode()).digest()

    return sorted(shard_indices, key=rank_key)


def training_steps(records_per_rank: int, *, batch_size: int) -> int:
    """Return whole batches in an epoch of one rank; the records of a last short batch are left for other epochs.

    Raises OptionsError where a rank has fewer records than one batch.
    """
    if batch_size < 1 or records_per_rank < batch_size:
        raise OptionsError(f"batch size: expected 1 to {records_per_rank} (records of a rank), got {batch_size}")
    return records_per_rank // batch_size


def evaluation_steps(shard_counts: Sequence[int], *, world: int, batch_size: int) -> int:
    """Return steps that every rank runs to see each record once, whichever equal share of the shards it reads.

    Equals ceil(sum of the m largest counts / batch size), m = shards per rank.
    """
    per_rank = len(shard_counts) // world
    fullest = sum(sorted(shard_counts, reverse=True)[:per_rank])
    return -(-fullest // batch_size)
