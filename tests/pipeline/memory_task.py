"""A task for the test of memory; workers import it by name."""

from pathlib import Path

from packer.engines.engine import Tick
from packer.packing.shard import PackContext, pack_shard


def pack_and_measure(context: PackContext, task: int, tick: Tick) -> tuple[int, int]:
    """Pack a shard; return its size and the most memory that this process ever had, in bytes."""
    summary = pack_shard(context, task, tick)
    lines = Path("/proc/self/status").read_text().splitlines()
    peak_kb = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return summary.num_bytes, 1024 * peak_kb
