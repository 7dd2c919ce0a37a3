"""One item's bytes to one sample."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from packer.errors import PackerError
from packer.formats.container import ExtraValue, Label, Sample
from packer.imaging.transform import transform_image
from packer.sources.items import ETAG
from packer.sources.members import ARCHIVE, METHOD, OFFSET_BYTES, STORED_BYTES, Member
from packer.specs import ImageSpec


class ItemRow(msgspec.Struct, frozen=True, kw_only=True):
    """One item as the plan has it."""

    key: str
    num_bytes: int
    label: Label
    class_text: str
    member: Member | None
    """Where it lies, if it is a member of an archive."""
    etag: str = ""
    """What it must still be, where its store tells such a thing."""
    extras: Mapping[str, ExtraValue]


def item_rows(
    columns: Mapping[str, list[Any]], *, extra_names: Sequence[str], class_names: Sequence[str]
) -> list[ItemRow]:
    """Return rows from the plan's columns as Python lists; classes beyond the last that has a name have none."""
    labels = columns.get("label") or [None] * len(columns["key"])
    rows = []
    for index, key in enumerate(columns["key"]):
        label = labels[index]
        extras = {name: columns[name][index] for name in extra_names if columns[name][index] is not None}
        rows.append(
            ItemRow(
                key=key,
                num_bytes=columns["num_bytes"][index],
                label=tuple(label) if isinstance(label, list) else label,
                member=_member(columns, index),
                etag=columns[ETAG][index] or "" if ETAG in columns else "",
                class_text=class_names[label] if isinstance(label, int) and 0 <= label < len(class_names) else "",
                extras={name: tuple(value) if isinstance(value, list) else value for name, value in extras.items()},
            )
        )
    return rows


def _member(columns: Mapping[str, list[Any]], index: int) -> Member | None:
    if ARCHIVE not in columns or columns[ARCHIVE][index] is None:
        return None
    return Member(
        archive=columns[ARCHIVE][index],
        offset_bytes=columns[OFFSET_BYTES][index],
        stored_bytes=columns[STORED_BYTES][index],
        method=columns[METHOD][index],
    )


def build_sample(row: ItemRow, data: bytes, spec: ImageSpec) -> tuple[Sample, tuple[int, ...]]:
    """Return the sample of an item's bytes and its histogram (channels x 256 counts, before encoding).

    Raises:
        RejectError: the image cannot become a sample.
        PackerError: this machine has too little memory for it.
    """
    try:
        image = transform_image(data, spec)
    except MemoryError as error:
        raise PackerError(
            f"{row.key}: memory ran out while it was decoded ({error}); give fewer `workers` or a smaller "
            f"`max_pixels`, or use a machine with more memory"
        ) from error
    sample = Sample(
        key=row.key,
        encoded=image.encoded,
        image_format=image.image_format,
        height=image.height,
        width=image.width,
        channels=image.channels,
        label=row.label,
        class_text=row.class_text,
        source_sha256=hashlib.sha256(data).hexdigest(),
        extras=row.extras,
    )
    return sample, image.histogram
