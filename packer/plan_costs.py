"""What a plan asks of S3, where its source or its destination is there."""

from __future__ import annotations

from packer.dataset.planfile import PlanDocument
from packer.formats.registry import get_format
from packer.planning.costs import Traffic, estimate_traffic
from packer.planning.plan import Plan
from packer.stores.open_store import absolute_uri, is_local


def traffic_of(plan: Plan, document: PlanDocument, *, dest: str | None) -> Traffic | None:
    """Return the requests of packing by a plan and the bytes that they move; None where no bucket of S3 is involved.

    Args:
        dest: where the data set goes; None where that is not known yet, and it is taken to be where the source is.
    """
    from_bucket = _is_s3(document.options["source"]) or _is_s3(document.source_root)
    to_bucket = from_bucket if dest is None else _is_s3(dest)
    if not from_bucket and not to_bucket:
        return None
    return estimate_traffic(
        plan.header,
        source_bytes=plan.source_bytes,
        num_side_files=len(get_format(plan.header.format).side_suffixes),
        from_bucket=from_bucket,
        to_bucket=to_bucket,
    )


def _is_s3(place: str) -> bool:
    return not is_local(place) and absolute_uri(place).startswith("s3://")
