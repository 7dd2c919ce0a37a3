"""One item's bytes to one sample."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from packer.errors import PackerError
from packer.formats.container import ExtraValue, Label, Picture, Sample
from packer.sources.items import ETAG, NUM_BYTES
from packer.sources.members import IN_ROWS, MEMBER_COLUMNS, SHAPES, SPILLED, SPILLED_AT, Member, picture_column
from packer.specs import FieldSpec, ImageSpec


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
    fields: tuple[FieldSpec, ...] = ()
    """What some of the extras are."""
    pictures: Mapping[str, ItemRow] = {}
    """Where masks and further images lie, by the names of their fields."""
    shapes: Mapping[str, str] = {}
    """What is drawn as a mask, by the names of fields."""

    @property
    def num_bytes_of_all(self) -> int:
        """Bytes of the item's file and of its pictures' files."""
        return self.num_bytes + sum(picture.num_bytes for picture in self.pictures.values())


class ItemFiles(msgspec.Struct, frozen=True, gc=False):
    """The bytes of an item's file, and the bytes of its pictures by the names of their fields."""

    data: bytes
    pictures: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class RowNames:
    """What columns of a plan are called for."""

    extras: Sequence[str]
    classes: Sequence[str] = ()
    """Names by class id."""
    fields: tuple[FieldSpec, ...] = ()


def item_rows(columns: Mapping[str, list[Any]], names: RowNames) -> list[ItemRow]:
    """Return rows from the plan's columns as Python lists; classes beyond the last that has a name have none."""
    extra_names, class_names = names.extras, names.classes
    if names.fields:
        paths = {spec.name for spec in names.fields if spec.is_picture}
        extra_names = [name for name in extra_names if name not in paths]
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
                fields=names.fields,
                shapes={
                    spec.name: columns[picture_column(spec.name, SHAPES)][index]
                    for spec in names.fields
                    if picture_column(spec.name, SHAPES) in columns
                },
                pictures={
                    spec.name: _picture_row(columns, index, spec.name)
                    for spec in names.fields
                    if spec.is_picture and picture_column(spec.name, NUM_BYTES) in columns
                },
            )
        )
    return rows


def _member(columns: Mapping[str, list[Any]], index: int, *, field: str = "") -> Member | None:
    """Return where an item, or the picture that is one of its fields, lies in an archive."""
    if SPILLED in columns and not field:
        return Member(
            archive=columns[SPILLED][index],
            offset_bytes=columns[SPILLED_AT][index],
            stored_bytes=columns[NUM_BYTES][index],
            method=IN_ROWS,
        )
    names = [picture_column(field, name) if field else name for name in MEMBER_COLUMNS]
    if names[0] not in columns or columns[names[0]][index] is None:
        return None
    archive, offset_bytes, stored_bytes, method = (columns[name][index] for name in names)
    return Member(archive=archive, offset_bytes=offset_bytes, stored_bytes=stored_bytes, method=method)


def _picture_row(columns: Mapping[str, list[Any]], index: int, field: str) -> ItemRow:
    return ItemRow(
        key=columns[field][index],
        num_bytes=columns[picture_column(field, NUM_BYTES)][index],
        label=None,
        class_text="",
        member=_member(columns, index, field=field),
        extras={},
    )


def build_sample(row: ItemRow, data: bytes | ItemFiles, spec: ImageSpec) -> tuple[Sample, tuple[int, ...]]:
    """Return the sample of an item's files and its histogram (channels x 256 counts, before encoding).

    Raises:
        RejectError: the image cannot become a sample.
        PackerError: this machine has too little memory for it.
    """
    # The image libraries, which the process that plans does without.
    from packer.imaging.transform import transform_image
    from packer.packing.moved_fields import move_fields, move_pictures

    files = ItemFiles(data, {}) if isinstance(data, bytes) else data
    extras, pictures = row.extras, dict[str, Picture]()
    try:
        image = transform_image(files.data, spec)
        if row.fields:
            extras = move_fields(row.fields, row.extras, image)
            pictures = move_pictures(row, files.pictures, image, spec)
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
        source_sha256=hashlib.sha256(files.data).hexdigest(),
        extras=extras,
        pictures=pictures,
        fields=row.fields,
    )
    return sample, image.histogram
