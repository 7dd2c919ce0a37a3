"""Lines that say what is in a data set or a plan: classes, images, labels, fills, where it came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from packer.shown_text import counted

if TYPE_CHECKING:
    from packer.dataset.facts import DataSetFacts
    from packer.dataset.manifest import Manifest
    from packer.reading.record_lookup import FoundRecord
    from packer.specs import FieldSpec, ImageSpec

_MAX_LISTED = 8
"""Classes of a split that are all named; of more, the largest and the smallest are."""
_MAX_NAMED = 3

Counts = Mapping[int, int]
"""Items by class id."""


def content_lines(manifest: Manifest, splits: Mapping[str, Counts], facts: DataSetFacts) -> Iterator[str]:
    """Yield what a data set holds; `splits` are the items of each split by class."""
    yield image_line(manifest.image)
    yield from label_lines(manifest.label_kind, splits, facts.class_names)
    yield from field_lines(manifest.declared)
    yield from near_lines(facts)
    yield from fill_lines({name: (split.num_fills, split.num_records) for name, split in manifest.splits.items()})
    yield origin_line(facts)


def field_lines(fields: Sequence[FieldSpec]) -> list[str]:
    """Return ``fields: object (boxes of 2 classes: cat, dog), mask (mask)``; nothing without fields."""
    texts = []
    for spec in fields:
        classes = ""
        if spec.class_names:
            more = ", ..." if len(spec.class_names) > _MAX_NAMED else ""
            named = ", ".join(spec.class_names[:_MAX_NAMED])
            classes = f" of {counted(len(spec.class_names), 'class', 'classes')}: {named}{more}"
        texts.append(f"{spec.name} ({spec.kind}{classes})")
    return [f"fields: {', '.join(texts)}"] if texts else []


def near_lines(facts: DataSetFacts) -> list[str]:
    """Return what is known of near-duplicates; nothing where they were not sought."""
    from packer.dataset.near_list import near_line  # Loads Arrow.

    return [] if facts.near is None else [near_line(facts.near)]


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


def record_values(found: FoundRecord) -> dict[str, object]:
    """Return what is shown of a record, by name."""
    sample = found.sample
    place = {name: getattr(found, name) for name in ("split", "shard", "position", "offset_bytes", "num_bytes")}
    picture = {"format": sample.image_format, "width": sample.width, "height": sample.height}
    row = {name: value.hex() if isinstance(value, bytes) else value for name, value in found.row.items()}
    row["framed_num_bytes"] = row.pop("num_bytes")
    return {**place, "encoded_num_bytes": len(sample.encoded), **picture, "class_text": sample.class_text, **row}
