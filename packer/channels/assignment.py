"""Which instance gets which keys of a channel that is ShardedByS3Key: stand-ins for a rule that AWS does not publish.

SageMaker documents only "approximately 1/n" of the objects. So a reader of a channel must be right for any assignment
of equal counts. These rules differ as much as possible:

    keys 0 1 2 3 4 5, 2 instances
    round-robin     0 2 4 | 1 3 5
    blocks          0 1 2 | 3 4 5
    reversed        5 3 1 | 4 2 0
    hashed          any | the rest, in any order, by the seed

ShuffleConfig permutes the keys before the rule applies; in Pipe mode it does so again for each epoch, so an instance's
keys change between epochs. All functions are pure.
"""

from __future__ import annotations

import enum
import hashlib
import itertools
from collections.abc import Sequence

from packer.channels.channel_plan import ChannelPlan


class AssignmentRule(enum.StrEnum):
    """How positions in the list of keys are distributed over instances."""

    ROUND_ROBIN = "round-robin"
    BLOCKS = "blocks"
    REVERSED = "reversed"
    HASHED = "hashed"


def rule_of_seed(seed: int) -> AssignmentRule:
    """Return the rule for a seed: 0 round-robin, 1 blocks, 2 reversed, 3 hashed, 4 round-robin again, and so on."""
    rules = tuple(AssignmentRule)
    return rules[seed % len(rules)]


def assign_keys(
    keys: Sequence[str], *, instances: int, seed: int = 0, epoch: int = 0, shuffle_seed: int | None = None
) -> tuple[tuple[str, ...], ...]:
    """Return each instance's keys, in the order in which they are streamed.

    Counts are equal if the number of keys is divisible by `instances`; otherwise they differ by at most one.

    Args:
        keys: keys of one channel, in the order of its prefix or ManifestFile.
        instances: number of instances, at least 1.
        seed: chooses the rule, see `rule_of_seed`.
        epoch: counted from 0; matters only with `shuffle_seed`.
        shuffle_seed: seed of ShuffleConfig; None without ShuffleConfig.
    """
    order = list(keys)
    if shuffle_seed is not None:
        order.sort(key=lambda key: _digest(shuffle_seed, epoch, key))
    dealt = _deal(len(order), instances, rule_of_seed(seed), seed)
    return tuple(tuple(order[position] for position in positions) for positions in dealt)


def keys_of_instance(plan: ChannelPlan, instance: int, *, instances: int, seed: int, epoch: int) -> tuple[str, ...]:
    """Return the keys of a channel that one instance gets in an epoch: its share, or all of a replicated channel."""
    if not plan.sharded:
        return plan.keys
    shares = assign_keys(plan.keys, instances=instances, seed=seed, epoch=epoch, shuffle_seed=plan.shuffle_seed)
    return shares[instance]


def _deal(count: int, instances: int, rule: AssignmentRule, seed: int) -> list[Sequence[int]]:
    positions: Sequence[int] = range(count)
    if rule is AssignmentRule.REVERSED:
        positions = positions[::-1]
    elif rule is AssignmentRule.HASHED:
        positions = sorted(positions, key=lambda position: _digest(seed, position))
    if rule in (AssignmentRule.ROUND_ROBIN, AssignmentRule.REVERSED):
        return [positions[instance::instances] for instance in range(instances)]
    bounds = [count * instance // instances for instance in range(instances + 1)]
    return [positions[start:stop] for start, stop in itertools.pairwise(bounds)]


def _digest(*parts: object) -> bytes:
    return hashlib.sha256("\0".join(map(str, parts)).encode()).digest()
