"""What `plan` says of a job on Spark: executors, memory, time and price."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from packer.cli.phase_text import format_seconds
from packer.shown_text import counted
from packer.spark_sizing import PRICES_AS_OF, SparkNodes, SparkSizing, size_job

if TYPE_CHECKING:
    from packer.comparing import Comparison


def size_plan(comparison: Comparison, nodes: SparkNodes) -> SparkSizing:
    """Return how packing the one setting of a comparison would go on some nodes."""
    (plan,) = comparison.settings
    return size_job(
        nodes,
        num_tasks=plan.num_shards,
        images_per_task=(plan.num_items + plan.num_fills) / plan.num_shards,
        cpu_s_per_image=comparison.num_workers / plan.images_per_s,
    )


def sizing_lines(sizing: SparkSizing) -> Iterator[str]:
    """Yield lines on how a job would go on the nodes that were named."""
    yield (
        f"on {sizing.nodes}: {counted(sizing.num_executors, 'executor')} of {sizing.executor_memory_mb:,} MB, "
        f"{sizing.tasks_at_a_time:,} of {counted(sizing.num_tasks, 'shard')} at a time; "
        f"{sizing.idle_share:.0%} of their time is left over in the last round"
    )
    yield (
        f"about {format_seconds(sizing.pack_s)} of packing and {format_seconds(sizing.start_s)} to start, "
        f"${sizing.dollars:,.2f} (list prices of us-east-1, {PRICES_AS_OF}, without disks); measured here: "
        f"{1000 * sizing.cpu_s_per_image:.1f} ms of CPU time an image"
    )
