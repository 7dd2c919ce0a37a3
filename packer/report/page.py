"""The report's page: one HTML file without other files. Its templates are page.html.jinja, page.css and page.js."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from importlib.resources import files

import msgspec
import numpy as np
import pyarrow.compute as pc

from packer.extras import require_extra
from packer.imaging.thumbnails import Thumbnail
from packer.planning.rank_shards import shards_of_rank
from packer.report.charts import draw_bars, draw_histogram
from packer.report.contact_sheet import SheetPicture
from packer.report.findings import find
from packer.report.report_facts import ReportFacts
from packer.specs import Fit, ImageSpec

_MAX_CLASS_ROWS = 2_000
_MAX_BARS = 400
_MAX_REJECT_ROWS = 500


class SplitRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table of splits; sizes in bytes."""

    name: str
    num_records: int
    num_items: int
    num_fills: int
    num_shards: int
    records_per_shard: str
    records_per_rank: str
    num_bytes: int
    smallest: int
    largest: int


class ClassRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table of classes."""

    label: str
    name: str
    counts: tuple[int, ...]
    """Number of items in each split, in the order of splits."""


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """A chart and its heading."""

    title: str
    svg: str


def render_page(facts: ReportFacts) -> str:
    """Return the page as HTML. Raises MissingExtraError if the libraries that draw or render it are not installed."""
    jinja2 = require_extra("jinja2", "report", purpose="shardpack report")
    folder = files("packer.report")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(size=format_bytes, count=lambda number: f"{number:,}", data_uri=_data_uri)
    template = environment.from_string(folder.joinpath("page.html.jinja").read_text(encoding="utf-8"))
    page: str = template.render(
        facts=facts,
        manifest=facts.manifest,
        css=folder.joinpath("page.css").read_text(encoding="utf-8"),
        script=folder.joinpath("page.js").read_text(encoding="utf-8"),
        findings=find(facts),
        image_text=describe_images(facts.manifest.image),
        splits=tuple(_split_rows(facts)),
        classes=class_rows(facts)[:_MAX_CLASS_ROWS],
        num_classes=len(class_rows(facts)),
        charts=_Charts(facts),
        rejects=facts.rejects[:_MAX_REJECT_ROWS],
        labels=sorted({picture.label_text for picture in facts.pictures}, key=_label_order),
        medians=_median_sizes(facts.pictures),
    )
    return page


def describe_images(image: ImageSpec) -> str:
    """Return one sentence on how each image was changed."""
    if image.keeps_all:
        return "Every image is stored as it was."
    sizes = {
        Fit.SHORT: f"Short side {image.width} pixels",
        Fit.LONG: f"Long side {image.width} pixels",
        Fit.COVER: f"Scaled to cover {image.width} x {image.height} pixels, then cropped around the centre",
        Fit.CONTAIN: f"Scaled to fit in {image.width} x {image.height} pixels, then padded",
        Fit.STRETCH: f"Stretched to {image.width} x {image.height} pixels",
    }
    quality = f", quality {image.quality}" if image.encode in ("jpeg", "webp") else ""
    return f"{sizes[image.fit]}; {image.encode}{quality}."


def format_bytes(num_bytes: float) -> str:
    """Return a size as text, such as ``4.2 MB``; 1 MB is 10**6 bytes."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if num_bytes >= size:
            return f"{num_bytes / size:,.1f} {unit}"
    return f"{num_bytes:,.0f} B"


def _data_uri(thumbnail: Thumbnail) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(thumbnail.jpeg).decode()


def _split_rows(facts: ReportFacts) -> Iterator[SplitRow]:
    world = facts.manifest.world
    for name, split in facts.manifest.splits.items():
        sizes = [shard.num_bytes for shard in split.shards]
        counts = [shard.num_records for shard in split.shards]
        own = [
            sum(counts[index] for index in shards_of_rank(len(counts), rank=rank, world=world)) for rank in range(world)
        ]
        yield SplitRow(
            name=name,
            num_records=split.num_records,
            num_items=split.num_records - split.num_fills,
            num_fills=split.num_fills,
            num_shards=len(sizes),
            records_per_shard=_span(counts),
            records_per_rank=_span(own),
            num_bytes=sum(sizes),
            smallest=min(sizes),
            largest=max(sizes),
        )


def _span(numbers: list[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,}-{high:,}"


def class_rows(facts: ReportFacts) -> tuple[ClassRow, ...]:
    """Return the classes, sorted by number of items, the largest first."""
    splits = list(facts.manifest.splits.values())
    labels = sorted({label for split in splits for label in split.label_counts}, key=int)
    rows = [
        ClassRow(
            label=label,
            name=facts.class_name(label),
            counts=tuple(split.label_counts.get(label, 0) for split in splits),
        )
        for label in labels
    ]
    return tuple(sorted(rows, key=lambda row: -sum(row.counts)))


class _Charts:
    """The charts of the page, each drawn when the template asks for it."""

    def __init__(self, facts: ReportFacts) -> None:
        self._facts = facts

    @property
    def classes(self) -> list[Chart]:
        """Items of each class, one chart for each split; empty without classes."""
        charts = []
        for name, split in self._facts.manifest.splits.items():
            counts = sorted(split.label_counts.items(), key=lambda pair: -pair[1])
            if not counts:
                continue
            step = -(-len(counts) // _MAX_BARS)
            rows = [{"class": self._facts.class_name(label), "items": count} for label, count in counts[::step]]
            text = f"Items of each class in split {name}, from {counts[-1][1]:,} to {counts[0][1]:,}"
            charts.append(
                Chart(
                    title=f"{name}: items of each class, the largest first",
                    svg=draw_bars(rows, x="class", y="items", description=text),
                )
            )
        return charts

    @property
    def shards(self) -> list[Chart]:
        """Sizes of the shards, one chart for each split."""
        charts = []
        for name, split in self._facts.manifest.splits.items():
            step = -(-len(split.shards) // _MAX_BARS)
            rows = [
                {"shard": index * step, "MB": shard.num_bytes / 1e6} for index, shard in enumerate(split.shards[::step])
            ]
            charts.append(
                Chart(
                    title=f"{name}: size of each shard",
                    svg=draw_bars(rows, x="shard", y="MB", description=f"MB of each shard of {name}"),
                )
            )
        return charts

    @property
    def sizes(self) -> list[Chart]:
        """Bytes of source files and of records, and aspect ratios of the drawn pictures."""
        table = self._facts.records.table
        items = table.filter(pc.invert(table.column("is_fill")))
        titles = {"source_num_bytes": "bytes of a source file", "num_bytes": "bytes of a record"}
        charts = [
            Chart(
                title=title.capitalize(),
                svg=draw_histogram(
                    items.column(name).to_numpy(),
                    title=title,
                    description=f"How many items have how many {title}",
                    is_log=True,
                ),
            )
            for name, title in titles.items()
            if items.num_rows
        ]
        if self._facts.pictures:
            ratios = np.array([100 * p.thumbnail.width // p.thumbnail.height for p in self._facts.pictures], np.int64)
            charts.append(
                Chart(
                    title="Aspect ratio of the packed pictures",
                    svg=draw_histogram(
                        ratios, title="100 x width / height", description="How many pictures have which aspect ratio"
                    ),
                )
            )
        return charts


def _median_sizes(pictures: tuple[SheetPicture, ...]) -> tuple[int, int] | None:
    """Return the median width and height of the drawn pictures in pixels; None if there are none."""
    if not pictures:
        return None
    widths = sorted(picture.thumbnail.width for picture in pictures)
    heights = sorted(picture.thumbnail.height for picture in pictures)
    return widths[len(widths) // 2], heights[len(heights) // 2]


def _label_order(label: str) -> tuple[int, str]:
    return (int(label), "") if label.isdigit() else (-1, label)
