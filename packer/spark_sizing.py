"""How many executors a packing job has on some nodes of EMR or Glue, with which memory, for how long and at what price.

    shards / tasks at a time = rounds;  rounds x images of a shard x CPU time of an image = time

An estimate to choose by: a vCPU counts as fast as one worker of the machine that measured, and nothing waits for a
network. Prices are list prices of us-east-1 from aws.amazon.com/emr/pricing, /glue/pricing and /ec2/pricing/on-demand,
without disks, taxes and discounts; spot capacity costs less than half.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import msgspec

from packer.errors import OptionsError
from packer.typed_values import did_you_mean

PRICES_AS_OF = "2025-06"
"""Prices of such nodes have stood for years; look at the pages before much depends on them."""
MB_PER_TASK = 812
"""Of an executor for each task: 512 MB of heap, 300 MB for the Python worker with a shard of 128 MB."""
_TASKS_PER_EXECUTOR = 4


@dataclass(frozen=True, slots=True)
class _NodeKind:
    num_vcpus: int
    memory_gb: int
    dollars_per_hour: float
    """With EMR's own price, a quarter of EC2's."""
    num_others: int = 1
    """Nodes that run the driver or the cluster, and no tasks."""
    are_counted: bool = False
    """Whether the number that a user gives has those in it."""
    start_min: int = 2
    """Minutes until tasks run."""


def _on_ec2(num_vcpus: int, memory_gb: int, dollars_per_hour: float) -> _NodeKind:
    return _NodeKind(num_vcpus, memory_gb, dollars_per_hour * 1.25, start_min=8)


_DPU_DOLLARS = 0.44
_SERVERLESS_DOLLARS = 4 * 0.052624 + 8 * 0.0057785
_KINDS = {
    "G.1X": _NodeKind(4, 16, _DPU_DOLLARS, are_counted=True),
    "G.2X": _NodeKind(8, 32, 2 * _DPU_DOLLARS, are_counted=True),
    "G.4X": _NodeKind(16, 64, 4 * _DPU_DOLLARS, are_counted=True),
    "G.8X": _NodeKind(32, 128, 8 * _DPU_DOLLARS, are_counted=True),
    "serverless": _NodeKind(4, 8, _SERVERLESS_DOLLARS),
    "m5.2xlarge": _on_ec2(8, 32, 0.384),
    "m6i.xlarge": _on_ec2(4, 16, 0.192),
    "m6i.2xlarge": _on_ec2(8, 32, 0.384),
    "m6i.4xlarge": _on_ec2(16, 64, 0.768),
    "c6i.2xlarge": _on_ec2(8, 16, 0.34),
    "c6i.4xlarge": _on_ec2(16, 32, 0.68),
    "c6i.8xlarge": _on_ec2(32, 64, 1.36),
}
_YARN_SHARE = 0.75
"""Of a node's memory that containers may have; the rest is the system's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SparkNodes:
    """Nodes that a job may have."""

    name: str
    count: int
    """As the service counts them: workers of Glue with the driver's, core and task nodes of EMR, executors."""
    kind: _NodeKind


class SparkSizing(msgspec.Struct, frozen=True, kw_only=True):
    """What a job has and costs."""

    nodes: str
    num_executors: int
    tasks_at_a_time: int
    executor_memory_mb: int
    """Heap and what is beside it."""
    num_tasks: int
    cpu_s_per_image: float
    pack_s: float
    start_s: float
    dollars: float

    @property
    def idle_share(self) -> float:
        """Share of the cores' time that is waited away at the end, since the last round is not full."""
        rounds = math.ceil(self.num_tasks / self.tasks_at_a_time)
        return 1 - self.num_tasks / (rounds * self.tasks_at_a_time)


def parse_nodes(text: str) -> SparkNodes:
    """Return the nodes that ``G.1X:10``, ``m6i.2xlarge:4`` or ``serverless:20`` names. Raises OptionsError."""
    match = re.fullmatch(r"([A-Za-z0-9.]+):([1-9]\d{0,3})", text.strip())
    if match is None:
        raise OptionsError(f"expected TYPE:COUNT for Spark, such as G.1X:10 or m6i.2xlarge:4, got {text!r}", field="on")
    kind = _KINDS.get(match[1])
    if kind is None:
        known = did_you_mean(match[1], list(_KINDS)) or f"; expected one of {', '.join(_KINDS)}"
        raise OptionsError(f"{match[1]}: no such type in the table of prices{known}", field="on")
    if kind.are_counted and int(match[2]) <= kind.num_others:
        raise OptionsError(f"expected at least 2 workers of Glue, one of which is the driver, got {text!r}", field="on")
    return SparkNodes(name=text.strip(), count=int(match[2]), kind=kind)


def size_job(nodes: SparkNodes, *, num_tasks: int, images_per_task: float, cpu_s_per_image: float) -> SparkSizing:
    """Return what a job of tasks of so many images each has, takes and costs on some nodes."""
    kind = nodes.kind
    num_working = nodes.count - (kind.num_others if kind.are_counted else 0)
    tasks_of_executor = min(_TASKS_PER_EXECUTOR, kind.num_vcpus)
    memory_mb = tasks_of_executor * MB_PER_TASK
    by_memory = int(kind.memory_gb * 1024 * _YARN_SHARE) // memory_mb
    executors_of_node = max(1, min(kind.num_vcpus // tasks_of_executor, by_memory))
    at_a_time = num_working * executors_of_node * tasks_of_executor
    pack_s = math.ceil(num_tasks / at_a_time) * images_per_task * cpu_s_per_image
    start_s = kind.start_min * 60.0
    billed = nodes.count + (0 if kind.are_counted else kind.num_others)
    return SparkSizing(
        nodes=nodes.name,
        num_executors=num_working * executors_of_node,
        tasks_at_a_time=at_a_time,
        executor_memory_mb=memory_mb,
        num_tasks=num_tasks,
        cpu_s_per_image=cpu_s_per_image,
        pack_s=pack_s,
        start_s=start_s,
        dollars=billed * kind.dollars_per_hour * (pack_s + start_s) / 3600,
    )
