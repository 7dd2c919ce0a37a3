"""Fields of samples in a batch: boxes, key points, masks and more images, cropped and mirrored like their picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from packer.dataset.manifest import Manifest
from packer.errors import DataSetError, OptionsError
from packer.formats.container import Sample
from packer.formats.field_features import CORNERS, DETECTION_HEAD, numbers_of
from packer.formats.registry import get_format
from packer.imaging.field_geometry import PictureMove, move_boxes, move_mask, move_points
from packer.imaging.masks import check_mask_size, decode_mask
from packer.imaging.rejects import RejectError
from packer.loading.crop_decoder import CropDecoder, CropWindow, PictureSize
from packer.loading.slot_ring import Slot
from packer.specs import FieldKind, FieldSpec

_MIRRORED = 2
"""EXIF orientation of a picture that is mirrored left to right."""
_DETECTION_NUMBERS = int(DETECTION_HEAD[1])


@dataclass(frozen=True, slots=True, eq=False)
class Boxes:
    """The boxes of one sample."""

    corners: npt.NDArray[np.float32]
    """float32 [n, 4]: left, top, right, bottom in pixels of the batch's image."""
    classes: npt.NDArray[np.int64]
    """int64 [n]: class ids; of length 0 if boxes have no classes."""


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """The key points of one sample."""

    places: npt.NDArray[np.float32]
    """float32 [n, 2]: x and y in pixels of the batch's image, also for points outside of it."""
    visible: npt.NDArray[np.int64]
    """int64 [n]: 0 for points that are not visible or are outside of the image."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The part of a picture that became an image of a batch."""

    stored: PictureSize
    """Size of the picture as it was packed; coordinates of boxes and points refer to it."""
    size: PictureSize
    """Size of the decoded picture, which may be smaller; `window` refers to it."""
    window: CropWindow
    is_flipped: bool

    def move(self, side_px: int) -> PictureMove:
        """Return how coordinates in the stored picture map to the image, a square of `side_px` pixels."""
        window, x, y = self.window, self.stored.width / self.size.width, self.stored.height / self.size.height
        box = (window.left * x, window.top * y, window.width * x, window.height * y)
        square = (side_px, side_px)
        return PictureMove(box, square, _MIRRORED if self.is_flipped else 1, (0, 0), square)

    def window_in(self, size: PictureSize) -> CropWindow:
        """Return the same part of another picture of size `size`, in whole pixels."""
        x, y = size.width / self.size.width, size.height / self.size.height
        left, top = min(round(self.window.left * x), size.width - 1), min(round(self.window.top * y), size.height - 1)
        width = max(1, min(round(self.window.width * x), size.width - left))
        return CropWindow(top, left, max(1, min(round(self.window.height * y), size.height - top)), width)


def labels_are_boxes(manifest: Manifest) -> bool:
    """Say whether records store boxes instead of labels."""
    has_boxes = any(spec.kind is FieldKind.BOXES for spec in manifest.declared)
    return has_boxes and not get_format(manifest.format).holds_columns


def choose_fields(manifest: Manifest, names: Sequence[str] | None) -> tuple[FieldSpec, ...]:
    """Return the fields that batches hold: those in `names`, or all that the records have if `names` is None.

    Raises OptionsError for a name that the records do not have.
    """
    there = manifest.declared
    if not get_format(manifest.format).holds_columns:
        there = tuple(spec for spec in there if spec.kind is FieldKind.BOXES)[:1]
    if names is None:
        return there
    known = {spec.name: spec for spec in there}
    missing = sorted(set(names).difference(known))
    if missing:
        raise OptionsError(
            f"fields: expected some of {', '.join(known) or 'none'}, which the records have, got {', '.join(missing)}"
        )
    return tuple(known[name] for name in names)


class FieldMaker:
    """Makes the fields of samples, with the decoder of its thread."""

    def __init__(self, fields: Sequence[FieldSpec], decoder: CropDecoder, *, side_px: int) -> None:
        self._fields, self._decoder, self._side_px = fields, decoder, side_px
        self._masks = [spec.name for spec in fields if spec.kind is FieldKind.MASK]
        self._images = [spec.name for spec in fields if spec.kind is FieldKind.IMAGE]

    def make(self, sample: Sample, cut: Cut) -> dict[str, Any]:
        """Return the fields that are not in the slot, by name.

        Boxes give (corners, classes), points give (x and y, visibility), both as flat lists; texts are as stored.
        """
        move = cut.move(self._side_px)
        found: dict[str, Any] = {}
        for spec in self._fields:
            if spec.kind is FieldKind.TEXT:
                found[spec.name] = sample.extras.get(spec.name)
            elif spec.kind is FieldKind.BOXES:
                given, classes = _boxes_of(sample, spec, cut.stored)
                corners, kept = move_boxes(given, move)
                found[spec.name] = (corners.ravel().tolist(), [int(classes[index]) for index in kept if classes])
            elif spec.kind is FieldKind.POINTS:
                places, visible = numbers_of(sample, spec.name), numbers_of(sample, spec.visible_column)
                moved, left = move_points(places, visible, move)
                found[spec.name] = (moved.ravel().tolist(), left.tolist())
        return found

    def draw(self, slot: Slot, index: int, sample: Sample, cut: Cut) -> None:
        """Write masks and further images to the slot. Raises PictureError or DataSetError without the record's name."""
        move = cut.move(self._side_px)
        for number, name in enumerate(self._masks):
            try:
                mask = decode_mask(self._encoded(sample, name), max_pixels=cut.stored.width * cut.stored.height)
                check_mask_size(mask, (cut.stored.width, cut.stored.height))
            except RejectError as error:
                raise DataSetError(f"field {name}: {error.detail}") from None
            slot.masks[number][index] = move_mask(mask, move)
        for number, name in enumerate(self._images):
            encoded = memoryview(self._encoded(sample, name))
            window = cut.window_in(self._decoder.read_size(encoded))
            self._decoder.decode_crop(encoded, window, slot.pictures[number][index], cut.is_flipped)

    def _encoded(self, sample: Sample, name: str) -> bytes:
        if name not in sample.pictures:
            raise DataSetError(f"field {name}: expected a picture, found none")
        return sample.pictures[name].encoded


def _boxes_of(sample: Sample, spec: FieldSpec, size: PictureSize) -> tuple[Any, Sequence[float]]:
    """Return the corners of a sample's boxes in pixels of its picture, and their classes."""
    label = sample.label
    if spec.name in sample.extras or not isinstance(label, tuple) or label[:2] != DETECTION_HEAD:
        return numbers_of(sample, spec.name), numbers_of(sample, spec.class_column)
    rows = np.array(label[len(DETECTION_HEAD) :], np.float64).reshape(-1, _DETECTION_NUMBERS)
    rows = rows[rows[:, 0] >= 0]
    return rows[:, 1 : 1 + CORNERS] * ([size.width, size.height] * 2), rows[:, 0].tolist()


def as_fields(fields: Sequence[FieldSpec], slot: Slot, told: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Return a batch's fields by name: copies of the slot's arrays, and values made from `told` (`FieldMaker.make`)."""
    masks, pictures = iter(slot.masks), iter(slot.pictures)
    found: dict[str, Any] = {}
    for spec in fields:
        if spec.kind is FieldKind.MASK:
            found[spec.name] = next(masks).copy()
        elif spec.kind is FieldKind.IMAGE:
            found[spec.name] = next(pictures).copy()
        elif spec.kind is FieldKind.TEXT:
            found[spec.name] = [tuple(text) if isinstance(text, list) else text for text in told.get(spec.name, ())]
        else:
            size, kind = (CORNERS, Boxes) if spec.kind is FieldKind.BOXES else (2, Points)
            found[spec.name] = [
                kind(np.array(numbers, np.float32).reshape(-1, size), np.array(beside, np.int64))
                for numbers, beside in told.get(spec.name, ())
            ]
    return found
