"""What `plan --compare` is asked for: settings to put side by side, and a machine to say the time on."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence

import msgspec

from packer.errors import OptionsError
from packer.options import PackOptions, parse_options
from packer.typed_values import did_you_mean

FIELDS: Mapping[str, str] = {
    "size": "resize",
    **{name: name for name in ("resize", "fit", "encode", "quality", "subsampling", "alpha", "format", "shard_size")},
    **{name: name for name in ("gpus", "instances", "gpus_per_instance")},
}
"""Options that can be compared, by the names that they are given under; none of them changes what is listed."""

_MAX_SETTINGS = 36
_VCPUS_OF_A_DPU = 4
_SIZES = {"medium": 1, "large": 2, "xlarge": 4}
_SPECIAL_VCPUS = {"c4.8xlarge": 36, "d2.8xlarge": 36, "f1.2xlarge": 8, "f1.4xlarge": 16, "f1.16xlarge": 64}
_UNKNOWN_FAMILIES = ("hpc", "mac", "u-", "u7", "t2", "t3", "t4")
"""Their sizes mean other numbers of vCPUs, or vCPUs that are not one's own all the time."""


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One of the settings that are compared."""

    values: Mapping[str, str]
    """As they were given."""
    options: PackOptions

    @property
    def name(self) -> str:
        """``size 224, quality 85``."""
        return ", ".join(f"{name} {value}" for name, value in self.values.items())


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What the time of packing is told for."""

    name: str
    num_vcpus: int


def parse_settings(compared: Sequence[str], options: Mapping[str, object]) -> list[Setting]:
    """Return a setting for each combination of ``["size=224,256", "quality=85,95"]`` over other options.

    Raises:
        OptionsError: a text is not ``NAME=VALUE,...``, names what cannot be compared or names it twice, one of its
            values is wrong, or there are too many combinations.
    """
    values: dict[str, list[str]] = {}
    for text in (part for each in compared for part in each.split()):
        name, equals, listed = text.partition("=")
        field = name.replace("-", "_")
        if not equals or not all(listed.split(",")):
            raise OptionsError(f"expected NAME=VALUE,VALUE,..., such as size=224,256, got {text!r}", field="compare")
        if field not in FIELDS:
            likely = did_you_mean(field, list(FIELDS)) or f"; expected one of {', '.join(FIELDS)}"
            raise OptionsError(f"{name}: cannot be compared{likely}", field="compare")
        if FIELDS[field] in {FIELDS[other] for other in values}:
            raise OptionsError(f"expected each name once, got {name} twice", field="compare")
        values[field] = list(dict.fromkeys(listed.split(",")))
    if (num_settings := _product(values)) > _MAX_SETTINGS:
        raise OptionsError(f"expected at most {_MAX_SETTINGS} settings, got {num_settings:,}", field="compare")
    found = []
    for combination in itertools.product(*values.values()):
        chosen = dict(zip(values, combination, strict=True))
        found.append(
            Setting(values=chosen, options=parse_options({**options, **{FIELDS[n]: v for n, v in chosen.items()}}))
        )
    return found


def _product(values: Mapping[str, Sequence[str]]) -> int:
    number = 1
    for listed in values.values():
        number *= len(listed)
    return number


def parse_machine(text: str) -> Machine:
    """Return the machine that ``c7i.4xlarge``, ``ml.c5.18xlarge``, ``10dpu`` or ``64vcpu`` names.

    EC2's sizes have 4 vCPUs for each x of ``xlarge``; a DPU of AWS Glue has 4.

    Raises:
        OptionsError: it is none of these, or its name does not tell its vCPUs.
    """
    name = text.strip().lower()
    if match := re.fullmatch(r"([1-9]\d{0,4})(dpu|vcpu)s?", name):
        number = int(match[1])
        if match[2] == "dpu":
            return Machine(name=f"{number:,} DPU", num_vcpus=number * _VCPUS_OF_A_DPU)
        return Machine(name=f"{number:,} vCPU", num_vcpus=number)
    match = re.fullmatch(r"(?:ml\.)?([a-z][a-z0-9-]*)\.(\d{0,3}xlarge|large|medium)", name)
    if match is None or match[1].startswith(_UNKNOWN_FAMILIES):
        raise OptionsError(
            f"expected an instance type of EC2 or SageMaker, such as c7i.4xlarge, or a number such as 10dpu or 64vcpu, "
            f"got {text!r}",
            field="on",
        )
    size = match[2]
    num_vcpus = _SIZES.get(size) or 4 * int(size.removesuffix("xlarge"))
    return Machine(name=name, num_vcpus=_SPECIAL_VCPUS.get(name.removeprefix("ml."), num_vcpus))
