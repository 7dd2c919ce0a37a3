"""The kinds of instances of one training job, as SageMaker groups them, and what each group does.

train group    ranks run on its hosts, and on no other
data group     its hosts make batches for those ranks
another        does what its own program does
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

from packer.errors import OptionsError


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceGroup:
    """Instances of one kind."""

    name: str
    instance_type: str
    instances: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobGroups:
    """The groups of a job; none in a job whose instances are all of one kind."""

    groups: tuple[InstanceGroup, ...] = ()
    train: str = ""
    """Name of the group that trains."""
    data: str = ""
    """Name of the group that feeds it; empty where ranks make their batches themselves."""

    @property
    def readers(self) -> tuple[str, ...]:
        """Names of the groups that read the data set: SageMaker wants all channels of a job to name groups, or none."""
        return tuple(name for name in (self.train, self.data) if name)

    @overload
    def train_instances(self, given: int | None) -> int | None: ...

    @overload
    def train_instances(self, given: int | None, *, default: int) -> int: ...

    def train_instances(self, given: int | None, *, default: int | None = None) -> int | None:
        """Return the instances that train: those of the train group, or as many as were given. Raises OptionsError."""
        otherwise = default if given is None else given
        found = next((group.instances for group in self.groups if group.name == self.train), otherwise)
        if given not in (None, found):
            raise OptionsError(f"expected {found} as in `train_group`, got {given}", field="instances")
        return found


ONE_KIND = JobGroups()
"""All instances are alike, and train."""


def choose_groups(texts: Sequence[str], train_group: str | None, data_group: str | None) -> JobGroups:
    """Return what groups a job has, and what they do.

    Args:
        texts: ``NAME=TYPE:COUNT`` each.
        train_group: name of the one that trains.
        data_group: name of the one that feeds it, if there is one.

    Raises:
        OptionsError: a text makes no sense, or a name is of no group.
    """
    groups = tuple(parse_group(text) for text in texts)
    names = [group.name for group in groups]
    for field, name in (("train_group", train_group), ("data_group", data_group)):
        if name is not None and not groups:
            raise OptionsError("expected with `instance_group=NAME=TYPE:COUNT` only", field=field)
        if name is not None and name not in names:
            raise OptionsError(f"expected one of {', '.join(names)}, got {name or 'none'}", field=field)
    if len(set(names)) < len(names):
        raise OptionsError(f"expected names that differ, got {', '.join(names)}", field="instance_group")
    if groups and train_group is None:
        raise OptionsError(f"expected the group that trains, one of {', '.join(names)}, got none", field="train_group")
    if data_group is not None and data_group == train_group:
        raise OptionsError(f"expected another group than that of `train_group`, got {data_group}", field="data_group")
    return JobGroups(groups=groups, train=train_group or "", data=data_group or "")


def parse_group(text: str) -> InstanceGroup:
    """Return the group that ``NAME=TYPE:COUNT`` describes. Raises OptionsError."""
    name, _, rest = text.partition("=")
    instance_type, _, count = rest.partition(":")
    if not name or not instance_type or not (count.isascii() and count.isdecimal()) or int(count[:9]) < 1:
        raise OptionsError(
            f"expected NAME=TYPE:COUNT such as gpu=ml.p4d.24xlarge:2, got {text!r}", field="instance_group"
        )
    return InstanceGroup(name=name, instance_type=instance_type, instances=int(count[:9]))
