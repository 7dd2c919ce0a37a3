"""Before the first step: do all ranks see the same data set and the same number of steps?

In synchronous training, a rank that runs one step fewer than the others leaves them waiting forever. So every rank
first reports what it is about to do, or why it cannot start. If reports differ, all ranks end with the same message.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from packer.errors import DataSetError, OptionsError, PackerError
from packer.reading.source import Share

RANKS_NAMED = 4
"""Ranks that a message lists before it counts the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RankReport:
    """One rank's report before training."""

    rank: int
    host: str
    facts: tuple[tuple[str, str], ...] = ()
    """Names and values that must be the same on every rank, in the order in which they are compared."""
    shares: tuple[Share, ...] = ()
    """The rank's share of each split, in the same order on every rank."""
    error: str = ""
    """Why the rank cannot start; empty where it can."""
    exit_code: int = 0
    """Exit code of `error`; 0 without one."""


def check_agreement(reports: Sequence[RankReport]) -> None:
    """Return if all ranks can start and agree; otherwise raise the same error on every rank.

    Raises:
        OptionsError: a rank's options or input are at fault.
        DataSetError: a rank cannot read its data set, or a fact differs; the text names the fact, its values and the
            ranks. Or hosts have shards of their own, and a shard is on no host or on several.
    """
    for report in reports:
        if report.error:
            kind: type[PackerError] = OptionsError if report.exit_code == OptionsError.exit_code else DataSetError
            raise kind(f"rank {report.rank} ({report.host}) cannot start: {report.error}")
    for position, (name, _) in enumerate(reports[0].facts):
        _check_fact(name, [(report, report.facts[position][1]) for report in reports])
    for position in range(len(reports[0].shares)):
        _check_shares([report.shares[position] for report in reports])


def _check_fact(name: str, said: Sequence[tuple[RankReport, str]]) -> None:
    ranks_by_value: dict[str, list[RankReport]] = {}
    for report, value in said:
        ranks_by_value.setdefault(value, []).append(report)
    if len(ranks_by_value) == 1:
        return
    views = "; ".join(f"{value} on {_describe_ranks(reports)}" for value, reports in ranks_by_value.items())
    raise DataSetError(
        f"ranks disagree on {name}: {views}. Nothing was trained; start all ranks with the same options and data set"
    )


def _check_shares(shares: Sequence[Share]) -> None:
    """Check that each shard of a split is on exactly one host, where hosts have shards of their own."""
    by_host: dict[str, set[tuple[int, ...]]] = {}
    for share in shares:
        if share.own_shards:
            by_host.setdefault(share.host, set()).add(share.own_shards)
    if not by_host:
        return
    text = f"split {shares[0].split!r}: expected each host to have its own shards (ShardedByS3Key)"
    for host, seen in by_host.items():
        if len(seen) > 1:
            raise DataSetError(f"{text}, but the ranks on {host} see different ones")
    hosts_by_shard: dict[int, list[str]] = {}
    for host, seen in by_host.items():
        for index in next(iter(seen)):
            hosts_by_shard.setdefault(index, []).append(host)
    for index in range(shares[0].num_shards):
        hosts = hosts_by_shard.get(index, [])
        if len(hosts) != 1:
            where = f"on {' and '.join(hosts)}" if hosts else "on no host"
            raise DataSetError(f"{text}, but shard {index} of {shares[0].num_shards} is {where}. Nothing was trained")


def _describe_ranks(reports: Sequence[RankReport]) -> str:
    named = ", ".join(f"rank {report.rank} ({report.host})" for report in reports[:RANKS_NAMED])
    more = len(reports) - RANKS_NAMED
    return f"{named} and {more} more" if more > 0 else named
