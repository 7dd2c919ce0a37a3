"""Is there room for an executor's Python workers? They lie beside its JVM's heap, where YARN and Kubernetes count."""

from __future__ import annotations

import re
from collections.abc import Mapping

MB_PER_CORE = 300
"""Memory of one Python worker with a shard of 128 MB; see `python -m tests.benchmarks.worker_memory`."""
_MIN_OVERHEAD_MB = 384
_UNITS = {"": 1, "m": 1, "mb": 1, "k": 1 / 1024, "kb": 1 / 1024, "g": 1024, "gb": 1024, "t": 1024**2, "tb": 1024**2}


def memory_notice(settings: Mapping[str, str]) -> str | None:
    """Return what to say where executors have less memory beside the heap than their workers are likely to take.

    Args:
        settings: of the Spark application, by name. Only YARN and Kubernetes end an executor for such memory.
    """
    if not settings.get("spark.master", "").startswith(("yarn", "k8s")):
        return None
    cores = int(settings.get("spark.executor.cores", "1")) // int(settings.get("spark.task.cpus", "1"))
    wanted, found = cores * MB_PER_CORE, _overhead_mb(settings)
    if found >= wanted:
        return None
    return (
        f"an executor has {found:,} MB beside its JVM's heap for the workers of {cores} cores, which take up to "
        f"{MB_PER_CORE} MB each with shards of 128 MB: set spark.executor.memoryOverhead={wanted}m, or a "
        f"smaller `shard_size`"
    )


def _overhead_mb(settings: Mapping[str, str]) -> int:
    own = settings.get("spark.executor.memoryOverhead")
    python_mb = _parse_mb(settings.get("spark.executor.pyspark.memory", "0"))
    if own is not None:
        return _parse_mb(own) + python_mb
    is_k8s = settings["spark.master"].startswith("k8s")
    factor = float(settings.get("spark.executor.memoryOverheadFactor", "0.4" if is_k8s else "0.1"))
    return max(_MIN_OVERHEAD_MB, int(_parse_mb(settings.get("spark.executor.memory", "1g")) * factor)) + python_mb


def _parse_mb(text: str) -> int:
    """Return the MB that a setting of Spark says; a number alone is of MB."""
    match = re.fullmatch(r"(\d+)([a-z]*)", text.strip().lower())
    return int(int(match[1]) * _UNITS.get(match[2], 0)) if match else 0
