"""MSCOCO annotations: one JSON file of images, annotations and categories, as the rows of a listing.

Class ids follow the order of the categories' ids, from 0. Crowds (`iscrowd`) have no box, since theirs are around many;
in masks they are drawn as others are.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import pyarrow as pa

from packer.errors import SourceError
from packer.parsing import ParseError, parse_json
from packer.shown_text import counted
from packer.sources.items import Listing, SourceSpec
from packer.sources.listing import list_rows_of
from packer.sources.members import SHAPES, picture_column
from packer.sources.tables import RawTable, TableKind
from packer.specs import FieldKind, FieldSource, FieldSpec
from packer.stores.open_store import absolute_uri, read_file

_MAX_BYTES = 4_000_000_000
_PATH, _BOXES, _CLASSES, _MASK, _CAPTIONS = "path", "bbox", "category", "segmentation", "caption"
_COLUMNS = {FieldKind.BOXES: _BOXES, FieldKind.MASK: _MASK, FieldKind.TEXT: _CAPTIONS}
"""What can be a field, and what it is called."""


class _Image(msgspec.Struct, gc=False):
    id: int
    file_name: str


class _Annotation(msgspec.Struct):
    image_id: int
    category_id: int = -1
    bbox: list[float] = []
    segmentation: Any = None
    caption: str = ""
    iscrowd: int = 0
    area: float = 0.0


class _Category(msgspec.Struct):
    id: int
    name: str = ""


class _Document(msgspec.Struct):
    images: list[_Image]
    annotations: list[_Annotation] = []
    categories: list[_Category] = []


@dataclass(frozen=True, slots=True)
class _Found:
    """A document's annotations by image."""

    images: Sequence[_Image]
    by_image: dict[int, list[_Annotation]]
    class_ids: dict[int, int]
    names: tuple[str, ...]


def list_coco(spec: SourceSpec) -> Listing:
    """List the images of annotations, which lie below the spec's root, or else beside the file.

    Without declared fields, boxes are the field ``object`` and captions the field ``caption``, where there are any.
    Columns of fields are ``bbox``, ``segmentation`` (drawn as a mask of class ids plus 1) and ``caption``.

    Raises SourceError for a file that holds no annotations, contradicts itself, or has no such field.
    """
    found = _read(spec)
    fields = tuple(_with_columns(spec, field) for field in spec.fields) or _default_fields(found)
    raw = _rows(spec, found, fields)
    shapes = pa.chunked_array([pa.array([_shapes(found, image) for image in found.images], pa.large_string())])
    missing = pa.chunked_array([pa.nulls(len(found.images), pa.large_string())])
    drawn: dict[str, pa.ChunkedArray] = {}
    for field in fields:
        if field.kind is FieldKind.MASK:
            drawn |= {field.name: missing, picture_column(field.name, SHAPES): shapes}
    own = replace(spec, fields=fields, key_column=_PATH)
    folder = posixpath.dirname(absolute_uri(spec.source))
    listing = list_rows_of(raw, own, folder, drawn)
    crowds = sum(each.iscrowd for annotations in found.by_image.values() for each in annotations)
    has_boxes = any(field.kind is FieldKind.BOXES for field in fields)
    notices = [f"{counted(crowds, 'crowd')} without a box: theirs are around many objects"]
    notices = notices if crowds and has_boxes else []
    return replace(
        listing,
        fields=tuple(_with_names(field, found.names) for field in listing.fields),
        notices=(*listing.notices, *notices),
    )


def _read(spec: SourceSpec) -> _Found:
    try:
        document = parse_json(read_file(absolute_uri(spec.source), spec.store, max_bytes=_MAX_BYTES), _Document)
    except ParseError as error:
        raise SourceError(
            f"{spec.source}: expected MSCOCO annotations, an object of images, annotations and categories: {error}"
        ) from None
    if not document.images:
        raise SourceError(f"{spec.source}: nothing in it: expected images")
    by_image: dict[int, list[_Annotation]] = {image.id: [] for image in document.images}
    if len(by_image) != len(document.images):
        raise SourceError(f"{spec.source}: expected each id of an image once; mend the images")
    categories = sorted(document.categories, key=lambda category: category.id)
    class_ids = {category.id: index for index, category in enumerate(categories)}
    for number, annotation in enumerate(document.annotations):
        problem = ""
        if annotation.image_id not in by_image:
            problem = f"is of the image {annotation.image_id}, which is not there"
        elif annotation.bbox and annotation.category_id not in class_ids:
            problem = f"has the category {annotation.category_id}, which is not there"
        elif annotation.bbox and (len(annotation.bbox) != 4 or min(annotation.bbox[2:]) < 0):
            problem = f"has the box {annotation.bbox}; expected left, top, width and height"
        if problem:
            raise SourceError(f"{spec.source}: annotation {number} {problem}; mend the file")
        by_image[annotation.image_id].append(annotation)
    names = tuple(category.name for category in categories)
    return _Found(document.images, by_image, class_ids, names)


def _default_fields(found: _Found) -> tuple[FieldSource, ...]:
    every = [annotation for annotations in found.by_image.values() for annotation in annotations]
    fields = []
    if any(annotation.bbox for annotation in every):
        fields.append(FieldSource(name="object", kind=FieldKind.BOXES, column=_BOXES, beside=_CLASSES))
    if any(annotation.caption for annotation in every):
        fields.append(FieldSource(name="caption", kind=FieldKind.TEXT, column=_CAPTIONS))
    return tuple(fields)


def _with_columns(spec: SourceSpec, field: FieldSource) -> FieldSource:
    if _COLUMNS.get(field.kind) != field.column:
        there = ", ".join(f"{kind}:{column}" for kind, column in _COLUMNS.items())
        raise SourceError(
            f"{spec.source}: expected one of {there} of MSCOCO annotations, got {field.kind}:{field.column}",
            field="field",
        )
    return msgspec.structs.replace(field, beside=_CLASSES, is_xywh=False) if field.kind is FieldKind.BOXES else field


def _rows(spec: SourceSpec, found: _Found, fields: Sequence[FieldSource]) -> RawTable:
    boxes, classes, captions = [], [], []
    for image in found.images:
        annotations = found.by_image[image.id]
        boxed = [annotation for annotation in annotations if annotation.bbox and not annotation.iscrowd]
        boxes.append([[x, y, x + wide, y + high] for x, y, wide, high in (each.bbox for each in boxed)])
        classes.append([found.class_ids[annotation.category_id] for annotation in boxed])
        captions.append([annotation.caption for annotation in annotations if annotation.caption] or None)
    columns = {
        _PATH: pa.array([image.file_name for image in found.images], pa.large_string()),
        "image_id": pa.array([image.id for image in found.images], pa.int64()),
        _BOXES: pa.array(boxes, pa.large_list(pa.large_list(pa.float64()))),
        _CLASSES: pa.array(classes, pa.large_list(pa.int64())),
        _CAPTIONS: pa.array(captions, pa.large_list(pa.large_string())),
    }
    wanted = {_PATH, "image_id", *(name for field in fields for name in (field.column, field.beside))}
    kept = {name: column for name, column in columns.items() if name in wanted}
    return RawTable(
        name=spec.source,
        kind=TableKind.PARQUET,
        files=(spec.source,),
        rows_per_file=(len(found.images),),
        table=pa.table(kept),
    )


def _shapes(found: _Found, image: _Image) -> str:
    """Return what is to be drawn of an image's annotations: the largest first, so that no other is hidden by it."""
    annotations = sorted(found.by_image[image.id], key=lambda annotation: -annotation.area)
    shapes = []
    for annotation in annotations:
        if annotation.segmentation:
            value = found.class_ids.get(annotation.category_id, -1) + 1
            shapes.append({"value": value, "shape": annotation.segmentation})
    return msgspec.json.encode(shapes).decode()


def _with_names(field: FieldSpec, names: tuple[str, ...]) -> FieldSpec:
    return msgspec.structs.replace(field, class_names=names) if field.kind is FieldKind.BOXES else field
