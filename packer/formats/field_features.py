"""Fields of a sample as features that readers of others know, under the names of TensorFlow's Object Detection API.

    image/NAME/bbox/xmin, xmax, ymin, ymax      floats in [0, 1], one for each box
    image/NAME/class/label, class/text          int64 and bytes, one for each box
    image/NAME/keypoint/x, y, visibility        floats in [0, 1] and int64, one for each key point
    image/NAME/encoded, image/NAME/format       bytes: the file of a mask or a further image

Boxes and key points also stand in pixels under the fields' own names, as columns of the sample. Those are what is read
back, since they are exact; the features above follow from them and are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from itertools import chain
from typing import TypeAlias

from packer.errors import OptionsError
from packer.formats.container import ExtraValue, Sample
from packer.formats.framing import MalformedError
from packer.specs import FieldKind, FieldSpec

Features: TypeAlias = "dict[str, ExtraValue]"
Numbers: TypeAlias = "tuple[int, ...] | tuple[float, ...]"

CORNERS = 4
"""Numbers of a box: left, top, right and bottom."""
DETECTION_HEAD = (2.0, 5.0)
"""Of MXNet's labels for detection: numbers of this head, and of each box behind it."""
_NO_BOX = (-1.0, 0.0, 0.0, 0.0, 0.0)
"""Stands for none, with a class that is none: MXNet's readers end the process at a picture without boxes."""
_DERIVED = re.compile(
    r"image/([a-z][a-z0-9_]*)/(?:bbox/[xy](?:min|max)|class/(?:label|text)|keypoint/(?:x|y|visibility))"
)
_PICTURE = re.compile(r"image/([a-z][a-z0-9_]*)/encoded")


def numbers_of(sample: Sample, column: str) -> Numbers:
    """Return the numbers of a column, whatever their number: readers give one alone as itself."""
    value = sample.extras.get(column, ())
    if isinstance(value, int):
        return (value,)
    if isinstance(value, float):
        return (value,)
    if isinstance(value, tuple) and not any(isinstance(each, str | bytes) for each in value):
        return value  # type: ignore[return-value]
    raise MalformedError(f"{column}: expected numbers, got {value!r}")


def first_boxes(sample: Sample) -> FieldSpec | None:
    """Return the first of a sample's fields of boxes."""
    return next((spec for spec in sample.fields if spec.kind is FieldKind.BOXES), None)


def field_features(sample: Sample) -> Features:
    """Return what follows from a sample's boxes and key points, and the files of its pictures.

    Raises OptionsError where the size of the picture is not known, in whose parts places are told.
    """
    features: Features = {}
    for spec in sample.fields:
        if spec.kind is FieldKind.BOXES:
            features |= _box_features(sample, spec)
        elif spec.kind is FieldKind.POINTS:
            x, y = _split(numbers_of(sample, spec.name), 2)
            features[f"image/{spec.name}/keypoint/x"] = _shares(sample, x, sample.width)
            features[f"image/{spec.name}/keypoint/y"] = _shares(sample, y, sample.height)
            features[f"image/{spec.name}/keypoint/visibility"] = numbers_of(sample, spec.visible_column)
    for name, picture in sample.pictures.items():
        features[f"image/{name}/encoded"] = picture.encoded
        features[f"image/{name}/format"] = picture.image_format
    return features


def _box_features(sample: Sample, spec: FieldSpec) -> Features:
    names = ("xmin", "ymin", "xmax", "ymax")
    parts = zip(names, _split(numbers_of(sample, spec.name), CORNERS), strict=True)
    prefix = f"image/{spec.name}"
    features: Features = {
        f"{prefix}/bbox/{name}": _shares(sample, values, sample.width if name[0] == "x" else sample.height)
        for name, values in parts
    }
    classes = numbers_of(sample, spec.class_column)
    features[f"{prefix}/class/label"] = classes
    if spec.class_names:
        features[f"{prefix}/class/text"] = tuple(_name_of(spec, int(number)) for number in classes)
    return features


def _name_of(spec: FieldSpec, class_id: int) -> str:
    return spec.class_names[class_id] if 0 <= class_id < len(spec.class_names) else ""


def _split(values: Numbers, count: int) -> list[tuple[float, ...]]:
    """Return every first, every second ... of values that come `count` at a time."""
    return [tuple(map(float, values[start::count])) for start in range(count)]


def _shares(sample: Sample, values: tuple[float, ...], length: int) -> tuple[float, ...]:
    if not length:
        raise OptionsError(f"{sample.key}: expected the size of the picture beside its fields, got none")
    return tuple(value / length for value in values)


def detection_label(sample: Sample, spec: FieldSpec) -> tuple[float, ...]:
    """Return the boxes of a field as MXNet's label for detection: 2, 5, then class and corners in [0, 1] of each.

    Boxes without classes have class 0. Raises OptionsError as `field_features`.
    """
    left, top, right, bottom = _split(numbers_of(sample, spec.name), CORNERS)
    corners = [
        _shares(sample, values, sample.width if index % 2 == 0 else sample.height)
        for index, values in enumerate((left, top, right, bottom))
    ]
    classes = tuple(map(float, numbers_of(sample, spec.class_column))) or (0.0,) * len(left)
    boxes = tuple(chain.from_iterable(zip(classes, *corners, strict=True)))
    return DETECTION_HEAD + (boxes or _NO_BOX)


def picture_names(features: Collection[str]) -> list[str]:
    """Return the names of the pictures whose files are among some features."""
    found = filter(None, map(_PICTURE.fullmatch, features))
    return sorted(match[1] for match in found if f"image/{match[1]}/format" in features)


def column_names(features: Collection[str]) -> list[str]:
    """Return the names of those features that are columns: not of pictures, and following from no other column."""
    own = {f"image/{name}/{part}" for name in picture_names(features) for part in ("encoded", "format")}
    derived = {name for name in features if (match := _DERIVED.fullmatch(name)) and match[1] in features}
    return [name for name in features if name not in own and name not in derived]
