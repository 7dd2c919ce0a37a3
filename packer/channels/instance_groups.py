"""The instance groups of a training job on SageMaker, and the role of each group.

train group     ranks run on its hosts, and on no others
data group      its hosts make batches for those ranks
other groups    run programs of their own
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
    """The groups of a job; there are none if all instances are of one kind."""

    groups: tuple[InstanceGroup, ...] = ()
    train: str = ""
    """Name of the group that trains."""
    data: str = ""
    """Name of the group that makes batches for it; empty if ranks make their own batches."""

    @property
    def readers(self) -> tuple[str, ...]:
        """Names of the groups that read the data set. SageMaker requires that all channels name groups, or none."""
        return tuple(name for name in (self.train, self.data) if name)

    @overload
    def train_instances(self, given: int | None) -> int | None: ...

    @overload
    def train_instances(self, given: int | None, *, default: int) -> int: ...

    def train_instances(self, given: int | None, *, default: int | None = None) -> int | None:
        """Return the number of instances that train: that of the train group, else `given`, else `default`.

        Raises OptionsError if `given` differs from the train group's number.
        """
        otherwise = default if given is None else given
        found = next((group.instances for group in self.groups if group.name == self.train), otherwise)
        if given not in (None, found):
            raise OptionsError(f"expected {found} as in `train_group`, got {given}", field="instances")
        return found


ONE_KIND = JobGroups()
"""All instances are of one kind, and all of them train."""


def choose_groups(texts: Sequence[str], train_group: str | None, data_group: str | None) -> JobGroups:
    """Return the groups of a job and their roles.

    Args:
        texts: groups, each as ``NAME=TYPE:COUNT``.
        train_group: name of the group that trains.
        data_group: name of the group that makes batches; None if there is none.

    Raises:
        OptionsError: a text has another form, names repeat, or there is no group of a given name.
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
