"""What a person should know of the classes of a plan or a data set before training, in plain words. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

import msgspec
import numpy as np

from packer.planning.plan import Plan, PlanHeader

_MAX_NAMED = 5
ClassCounts: TypeAlias = "Mapping[str, Mapping[int, int]]"
"""Records or items by split and class id."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to know, and what to do about it."""

    text: str
    advice: str


class ClassUse(msgspec.Struct, frozen=True, kw_only=True):
    """How often each class is there."""

    counts: ClassCounts
    num_classes: int
    """Highest class id plus 1."""
    names: Sequence[str]
    """By class id; empty without names."""

    @property
    def used(self) -> frozenset[int]:
        """Class ids that items of any split have."""
        return frozenset(label for split in self.counts.values() for label, count in split.items() if count)


def planned_classes(plan: Plan) -> ClassCounts:
    """Return a plan's items by split and class id; empty without classes."""
    if plan.header.label_kind != "class":
        return {}
    counts = {}
    for split, table in zip(plan.header.splits, plan.tables, strict=True):
        found = np.unique(table.column("label").to_numpy(), return_counts=True)
        counts[split.name] = dict(zip(*(part.tolist() for part in found), strict=True))
    return counts


def class_findings(header: PlanHeader, counts: ClassCounts) -> Iterator[Finding]:
    """Yield what a plan shows of its classes, if it has any; `counts` are its items by split and class id."""
    if header.label_kind != "class":
        return
    use = ClassUse(counts=counts, num_classes=header.num_classes, names=header.class_names)
    for split_name in counts:
        yield from missing_classes(use, split_name)
    yield from unused_ids(use)


def missing_classes(use: ClassUse, split_name: str) -> Iterator[Finding]:
    """Yield that a split has nothing of some classes that others have."""
    missing = sorted(use.used - {label for label, count in use.counts[split_name].items() if count})
    if missing:
        yield Finding(
            text=f"Split {split_name} has nothing of {count_of(len(missing), 'class')}: {named(use, missing)}.",
            advice="Pack with `stratify=True`, which deals each class over all splits.",
        )


def unused_ids(use: ClassUse) -> Iterator[Finding]:
    """Yield a finding where no item has some class id below the highest."""
    if len(use.used) < use.num_classes:
        yield Finding(
            text=f"Class ids go up to {use.num_classes - 1:,}, but only {len(use.used):,} of them are used.",
            advice="The last layer of a network will be as wide as the highest id; `class_map` gives other ids.",
        )


def named(use: ClassUse, labels: Sequence[int]) -> str:
    """Return the names of the first of some classes, and how many more there are."""
    return first_of(
        [use.names[label] if label < len(use.names) else str(label) for label in labels[:_MAX_NAMED]], len(labels)
    )


def first_of(names: Sequence[str], num_all: int) -> str:
    """Return the first of some names, and how many more there are."""
    more = f" and {num_all - _MAX_NAMED:,} more" if num_all > _MAX_NAMED else ""
    return ", ".join(names[:_MAX_NAMED]) + more


def count_of(number: int, noun: str) -> str:
    """Return ``1 class`` or ``2 classes``."""
    plural = {"class": "classes"}.get(noun, f"{noun}s")
    return f"{number:,} {noun if number == 1 else plural}"
