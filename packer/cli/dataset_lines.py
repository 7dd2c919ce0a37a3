"""Lines that say what is in a data set or a plan: classes, images, labels, fills, where it came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from packer.shown_text import counted

if TYPE_CHECKING:
    from packer.dataset.facts import DataSetFacts
    from packer.specs import ImageSpec

_MAX_LISTED = 8
"""Classes of a split that are all named; of more, the largest and the smallest are."""
_MAX_NAMED = 3

Counts = Mapping[int, int]
"""Items by class id."""


def image_line(image: ImageSpec) -> str:
    """Return ``images: short side 256 px, jpeg, quality 95, subsampling 420``."""
    size = {
        "short": f"short side {image.width} px",
        "long": f"long side {image.width} px",
        "cover": f"{image.width} x {image.height} px, cropped around the centre",
        "contain": f"{image.width} x {image.height} px, padded",
        "stretch": f"{image.width} x {image.height} px, stretched",
    }[image.fit]
    parts = ["as they are" if image.keeps_all else size, image.encode]
    if image.encode in ("jpeg", "webp"):
        parts.append(f"quality {image.quality}")
    if image.encode == "jpeg":
        parts.append(f"subsampling {image.subsampling}")
    if image.alpha != "white":
        parts.append("with transparency")
    return f"images: {', '.join(map(str, parts))}"


def label_lines(kind: str, splits: Mapping[str, Counts], names: Sequence[str]) -> Iterator[str]:
    """Yield what the labels are and, of classes, how many items each has in each split."""
    if kind != "class":
        yield (
            "labels: numbers, in the order of their columns"
            if kind == "floats"
            else ("labels: none (class folders or a column of labels give some)")
        )
        return
    for split, counts in splits.items():
        ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
        total = counted(len(ranked), "class", "classes")
        if len(ranked) <= _MAX_LISTED:
            yield f"classes of {split}: {total}: {_named(ranked, names)}"
        else:
            largest, smallest = _named(ranked[:_MAX_NAMED], names), _named(ranked[-_MAX_NAMED:], names)
            yield f"classes of {split}: {total}; largest: {largest}; smallest: {smallest}"


def fill_lines(splits: Mapping[str, tuple[int, int]]) -> Iterator[str]:
    """Yield what fills are, for splits that have some; `splits` holds fills and records by name."""
    for split, (num_fills, num_records) in splits.items():
        if num_fills:
            yield (
                f"fills of {split}: {num_fills:,} of {counted(num_records, 'record')} repeat another one of their "
                "shard, so that all its shards are equal and no GPU runs out first"
            )


def origin_line(facts: DataSetFacts) -> str:
    """Return ``packed from /photos on 2026-11-30 04:20 UTC by shardpack 0.2.0``, as far as it is known."""
    verb = "copied" if facts.command == "reshard" else "packed"
    source = f" from {facts.source}" if facts.source else ""
    when = f" on {facts.started[:16].replace('T', ' ')} UTC" if facts.started else ""
    release = f" by shardpack {facts.release}" if facts.release else ""
    return f"{verb}{source}{when}{release}"


def class_table(splits: Mapping[str, Counts], names: Sequence[str]) -> list[tuple[str, ...]]:
    """Return a heading and a row for each class: its name, and its items in each split."""
    ids = sorted({label for counts in splits.values() for label in counts})
    rows = [tuple([_name(label, names), *(f"{counts.get(label, 0):,}" for counts in splits.values())]) for label in ids]
    return [("class", *splits), *rows]


def named_counts(splits: Mapping[str, Counts], names: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return the items of each split by the name of their class, or by its id as text where it has none."""
    return {
        split: {_name(label, names): count for label, count in sorted(counts.items())}
        for split, counts in splits.items()
    }


def _named(ranked: Sequence[tuple[int, int]], names: Sequence[str]) -> str:
    return ", ".join(f"{_name(label, names)} {count:,}" for label, count in ranked)


def _name(label: int, names: Sequence[str]) -> str:
    return names[label] if label < len(names) else str(label)
