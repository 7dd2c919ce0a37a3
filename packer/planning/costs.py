"""What a plan asks of a bucket, and what that costs at list prices: an estimate to choose by, not a bill.

GET     one for each item, and one more for each that was measured before planning
PUT     shard, index, table of records and receipt for each shard, what its container has beside, a few documents
LIST    one for each 1,000 objects
"""

from __future__ import annotations

import msgspec

from packer.planning.plan import PlanHeader
from packer.planning.shard_count import num_probes

PRICES_AS_OF = "2026-11"
"""When the prices below were looked up: S3 Standard in us-east-1, in US dollars, without tax or volume discount."""
_DOLLARS_PER_GET = 0.0004 / 1000
_DOLLARS_PER_PUT_OR_LIST = 0.005 / 1000
_DOLLARS_PER_GB_MONTH = 0.023
_KEYS_PER_LIST = 1000
_DOCUMENTS = 5
"""Plan, labels, rejects, run report and manifest."""


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """Requests and bytes of one `pack`, as far as source and destination are buckets."""

    num_gets: int
    num_puts: int
    num_lists: int
    read_bytes: int
    written_bytes: int

    @property
    def request_dollars(self) -> float:
        """Price of the requests; traffic within a Region is free."""
        return self.num_gets * _DOLLARS_PER_GET + (self.num_puts + self.num_lists) * _DOLLARS_PER_PUT_OR_LIST

    @property
    def storage_dollars_per_month(self) -> float:
        """Price of keeping what was written."""
        return self.written_bytes / 10**9 * _DOLLARS_PER_GB_MONTH


def estimate_traffic(
    header: PlanHeader, *, source_bytes: int, num_side_files: int = 0, from_bucket: bool = True, to_bucket: bool = True
) -> Traffic:
    """Return what packing by a plan asks of buckets.

    Args:
        source_bytes: size of all items.
        num_side_files: files beside each shard that its container has in addition to an index.
        from_bucket: whether the source is one.
        to_bucket: whether the destination is one.
    """
    num_items = sum(split.num_items for split in header.splits)
    num_fills = sum(split.num_fills for split in header.splits)
    num_probed = num_probes(num_items)
    puts_per_shard = 4 + num_side_files
    return Traffic(
        num_gets=num_items + num_probed if from_bucket else 0,
        num_puts=header.num_tasks * puts_per_shard + _DOCUMENTS if to_bucket else 0,
        num_lists=-(-num_items // _KEYS_PER_LIST) if from_bucket else 0,
        read_bytes=source_bytes + source_bytes * num_probed // max(1, num_items) if from_bucket else 0,
        written_bytes=(num_items + num_fills) * header.mean_record_bytes if to_bucket else 0,
    )
