"""Properties of instance types, derived from their names."""

from __future__ import annotations

import re

_WITH_OWN_DISKS = re.compile(r"ml\.(?:[a-z]+\d+[a-z]*d[a-z]*|(?:p4|p5|p6|g4|g5|g6|trn|i)\w*)\..*")
"""Families with a ``d`` after their number have NVMe disks, and so have the other families named here."""


def has_own_disks(instance_type: str) -> bool:
    """Say whether instances have local NVMe disks. These encrypt themselves, so SageMaker takes no key for them."""
    return _WITH_OWN_DISKS.fullmatch(instance_type) is not None


def num_gpus(instance_type: str) -> int:
    """Return the number of GPUs of an instance; 0 if it has none or the type is unknown here (as of 2026-11)."""
    _, _, rest = instance_type.partition(".")
    family, _, size = rest.partition(".")
    return _GPUS.get(family, {}).get(size, 0)


def num_cpus(instance_type: str) -> int:
    """Return the number of virtual CPUs: four times the number before ``xlarge``; 0 for sizes of another form."""
    size = instance_type.rpartition(".")[2]
    match = re.fullmatch(r"(\d*)xlarge", size)
    return 4 * int(match[1] or 1) if match else {"medium": 1, "large": 2}.get(size, 0)


def with_more_cpus(instance_type: str) -> str:
    """Return the smallest type of the family with equally many GPUs and more CPUs; empty if there is none."""
    _, _, rest = instance_type.partition(".")
    family = rest.partition(".")[0]
    gpus, cpus = num_gpus(instance_type), num_cpus(instance_type)
    larger = [f"ml.{family}.{size}" for size, count in _GPUS.get(family, {}).items() if count == gpus]
    return min((name for name in larger if num_cpus(name) > cpus), key=num_cpus, default="")


_EACH_ONE = dict.fromkeys(("xlarge", "2xlarge", "4xlarge", "8xlarge", "16xlarge"), 1)
_GPUS: dict[str, dict[str, int]] = {
    "p3": {"2xlarge": 1, "8xlarge": 4, "16xlarge": 8},
    "p3dn": {"24xlarge": 8},
    "p4d": {"24xlarge": 8},
    "p4de": {"24xlarge": 8},
    "p5": {"4xlarge": 1, "48xlarge": 8},
    "p5e": {"48xlarge": 8},
    "p5en": {"48xlarge": 8},
    "g4dn": {**_EACH_ONE, "12xlarge": 4},
    "g5": {**_EACH_ONE, "12xlarge": 4, "24xlarge": 4, "48xlarge": 8},
    "g6": {**_EACH_ONE, "12xlarge": 4, "24xlarge": 4, "48xlarge": 8},
    "g6e": {**_EACH_ONE, "12xlarge": 4, "24xlarge": 4, "48xlarge": 8},
}
