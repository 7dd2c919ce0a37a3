"""The fields of an item as its sample has them: moved as the pixels of its picture were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from packer.formats.container import ExtraValue, Picture
from packer.imaging.field_geometry import PictureMove, move_boxes, move_mask, move_points
from packer.imaging.masks import MASK_FORMAT, check_mask_size, decode_mask, encode_mask
from packer.imaging.rejects import RejectError, RejectReason
from packer.imaging.shapes import draw_mask
from packer.imaging.transform import transform_image
from packer.imaging.values import TransformedImage
from packer.specs import FieldKind, FieldSpec, ImageSpec


def move_fields(
    fields: Sequence[FieldSpec], extras: Mapping[str, ExtraValue], image: TransformedImage
) -> dict[str, ExtraValue]:
    """Return an item's columns with its boxes and key points in pixels of the sample. Raises RejectError."""
    moved = dict(extras)
    for spec in fields:
        if spec.kind is FieldKind.BOXES:
            boxes, kept = move_boxes(_numbers(extras, spec.name), _move(spec, image))
            classes = _numbers(extras, spec.class_column)
            moved[spec.name] = tuple(boxes.ravel().tolist())
            moved[spec.class_column] = tuple(classes[index] for index in kept) if classes else ()
        elif spec.kind is FieldKind.POINTS:
            given = _numbers(extras, spec.visible_column)
            points, visible = move_points(_numbers(extras, spec.name), given, _move(spec, image))
            moved[spec.name] = tuple(points.ravel().tolist())
            moved[spec.visible_column] = tuple(visible.tolist())
    return moved


class _Item(Protocol):
    @property
    def fields(self) -> Sequence[FieldSpec]: ...
    @property
    def shapes(self) -> Mapping[str, str]: ...


def move_pictures(
    item: _Item, files: Mapping[str, bytes], image: TransformedImage, spec: ImageSpec
) -> dict[str, Picture]:
    """Return the masks and further images of an item, as files. Raises RejectError naming the field."""
    pictures = {}
    for field in item.fields:
        if not field.is_picture:
            continue
        try:
            if field.kind is FieldKind.MASK:
                shapes = item.shapes.get(field.name)
                if shapes is not None:
                    mask = draw_mask(shapes, image.source)
                else:
                    mask = decode_mask(files[field.name], max_pixels=spec.max_pixels)
                    check_mask_size(mask, image.source)
                pictures[field.name] = Picture(encode_mask(move_mask(mask, _move(field, image))), MASK_FORMAT)
            else:
                other = transform_image(files[field.name], spec)
                pictures[field.name] = Picture(other.encoded, other.image_format)
        except RejectError as error:
            raise RejectError(RejectReason.FIELD, f"{field.name}: {error.detail}") from None
    return pictures


def _move(spec: FieldSpec, image: TransformedImage) -> PictureMove:
    if image.move is None:
        raise RejectError(
            RejectReason.FIELD,
            f"{spec.name}: expected an upright picture with `encode=keep`, got one that its file says to turn; give "
            "`encode=jpeg`, or leave the field out",
        )
    return image.move


def _numbers(extras: Mapping[str, ExtraValue], column: str) -> tuple[Any, ...]:
    value = extras.get(column, ())
    assert isinstance(value, tuple)
    return value
