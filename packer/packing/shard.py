"""`pack_shard`: one task of a plan becomes one shard. The same bytes wherever and however often it runs.

rows of the plan -> bytes, read ahead -> samples -> shard
"""

from __future__ import annotations

import logging

import msgspec

from packer.dataset.planfile import PlanDocument, load_shard_items
from packer.engines.engine import Tick
from packer.errors import PackerError
from packer.imaging.rejects import RejectError
from packer.packing.assemble import OpenShard, ShardSummary, finish_shard, reuse_shard
from packer.packing.encoder import EncoderSpec, check_encoder
from packer.packing.fetch import fetch_files
from packer.packing.sample import RowNames, item_rows
from packer.packing.samples import BuiltSample, build_samples
from packer.specs import DEFAULT_STORE, ITEM_LIMIT_S, StoreOptions
from packer.stores.open_store import open_store
from packer.stores.store import NO_CLAIM, Claim

_LOGGER = logging.getLogger(__name__)


class PackContext(msgspec.Struct, frozen=True, kw_only=True):
    """What every task of a run is given."""

    plan: PlanDocument
    dest: str
    fail_on_reject: bool
    source_store: StoreOptions = DEFAULT_STORE
    dest_store: StoreOptions = DEFAULT_STORE
    item_limit_s: float = ITEM_LIMIT_S
    """Seconds that decoding and encoding one item may take."""
    claim: Claim = NO_CLAIM
    resume: bool
    """Keep a shard whose receipt and digest match instead of packing it again."""


def pack_shard(context: PackContext, task: int, tick: Tick) -> ShardSummary:
    """Pack the shard of one task and leave its receipt.

    Raises:
        EncoderMismatchError: this process encodes differently from the one that planned.
        SourceChangedError, SourceError: an item is not what was listed, or may not be read.
        DataSetError: the plan's file is damaged, or a training shard has no good item.
        PackerError: an item was rejected and the run must fail on rejects, or the shard would pass 128 MB.
    """
    plan, dest = context.plan, open_store(context.dest, context.dest_store).claimed(context.claim)
    header = plan.header
    summary = reuse_shard(dest, plan, task) if context.resume else None
    # One with rejects is packed again where these fail the run: the error then names the first.
    if summary is not None and not (context.fail_on_reject and summary.num_rejects):
        return summary
    check_encoder(EncoderSpec(image=header.image, format=header.format), plan.encoder)
    table = load_shard_items(dest, plan, task)
    items = item_rows(table.to_pydict(), RowNames(header.extra_names, header.class_names, header.declared))
    shard = OpenShard(plan, task, items, table.schema)
    source = open_store(plan.source_root, context.source_store)

    def take(index: int, outcome: BuiltSample | RejectError) -> None:
        item = items[index]
        if not isinstance(outcome, RejectError):
            shard.add(index, outcome.sample, outcome.histogram)
        elif context.fail_on_reject:
            raise PackerError(f"{source.uri}/{item.key}: {outcome} (`on_reject=fail`)")
        else:
            _LOGGER.debug("%s/%s: rejected: %s", source.uri, item.key, outcome)
            shard.reject(index, outcome)
        tick(1, item.num_bytes_of_all)

    build_samples(items, fetch_files(source, items), header.image, limit_s=context.item_limit_s, take=take)
    return finish_shard(dest, task, shard, table)
