"""How many processors this process may use: by its affinity, and by the CPU time that its cgroups leave it.

A container's limit (`docker run --cpus`, a pod's limit, a task's vCPUs) is a quota of a cgroup: the process still sees
all processors of the machine, and threads beyond the quota only wait for one another.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

_PROCESS = Path("/proc/self")


def count_processors(process: Path = _PROCESS) -> int:
    """Return the processors that this process may use, at least 1; a quota of 1.5 counts as 2.

    Args:
        process: the folder that tells the process's cgroups and mounts.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroup_quota(process)
    return max(1, allowed if quota is None else min(allowed, math.ceil(quota)))


def cgroup_quota(process: Path = _PROCESS) -> float | None:
    """Return the processors' time that a process's cgroups leave it, in processors; None where none limits it."""
    found = [quota for folder in _cgroup_folders(process) for quota in _quotas(folder)]
    return min(found, default=None)


def _cgroup_folders(process: Path) -> Iterator[Path]:
    """Yield the folder of each cgroup that may limit the process, and of those around it as far as can be seen."""
    try:
        memberships = (process / "cgroup").read_text().splitlines()
        mounts = (process / "mountinfo").read_text().splitlines()
    except OSError:  # no Linux, or no /proc
        return
    for membership in memberships:
        _, controllers, path = membership.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        for root, mount_point in _mounts(mounts, is_unified=not controllers):
            inside = Path(os.path.relpath(path, root))
            if ".." in inside.parts:  # a container sees its own cgroup as the root, and a path from elsewhere
                inside = Path()
            folder = mount_point / inside
            yield folder
            for outer in folder.parents:
                if not outer.is_relative_to(mount_point):
                    break
                yield outer


def _mounts(lines: list[str], *, is_unified: bool) -> Iterator[tuple[str, Path]]:
    """Yield the file systems of cgroups that hold processors' time, each with where it is mounted (proc(5))."""
    for line in lines:
        mount, _, system = line.partition(" - ")
        kind, _, options = (*system.split(" ", 2), "", "")[:3]
        wanted = kind == "cgroup2" if is_unified else kind == "cgroup" and "cpu" in options.split(",")
        fields = mount.split(" ")
        if wanted and len(fields) > 4:
            yield fields[3], Path(fields[4].replace("\\040", " "))


def _quotas(folder: Path) -> Iterator[float]:
    """Yield the limit of one cgroup, in processors: of version 2, or of version 1."""
    for read in (_unified_quota, _legacy_quota):
        try:
            quota_us, period_us = read(folder)
            if int(quota_us) > 0 and int(period_us) > 0:
                yield int(quota_us) / int(period_us)
        except (OSError, ValueError):  # of the other version; or `max`, which is no limit
            continue


def _unified_quota(folder: Path) -> tuple[str, str]:
    quota_us, period_us = (folder / "cpu.max").read_text().split()
    return quota_us, period_us


def _legacy_quota(folder: Path) -> tuple[str, str]:
    return (folder / "cpu.cfs_quota_us").read_text(), (folder / "cpu.cfs_period_us").read_text()
