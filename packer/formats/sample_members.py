"""A sample as members of an archive, by extension: the image as a file of its own, the label as text, the rest as JSON.

Masks and further images are files, too, whose extension begins with the field's name: ``mask.png``. What a sample
lacks is left out. Names in the JSON are those of the features of a tf.train.Example.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeAlias, TypeVar

import msgspec

from packer.errors import OptionsError
from packer.formats.container import Label, Picture, Sample
from packer.formats.features import RESERVED_FEATURES, check_extra_names
from packer.formats.framing import MalformedError
from packer.formats.image_magic import sniff_image_format

Members: TypeAlias = "Mapping[str, bytes | memoryview]"
"""Content by extension, in the order in which it is stored."""

_T = TypeVar("_T")

CLASS_EXTENSION, FIELDS_EXTENSION = "cls", "json"
_EXTENSIONS = {"jpeg": "jpg", "mpo": "jpg", "jpeg2000": "jp2", "": "img"}
"""Of image formats whose files are not called by the format's name."""
_KEY = "image/filename"
_LABEL = "image/class/label"


def encode_members(sample: Sample) -> dict[str, bytes]:
    """Return the members of a sample, sorted by extension.

    Raises:
        OptionsError: an extra has a reserved name, or a number is not finite.
    """
    if not RESERVED_FEATURES.isdisjoint(sample.extras):
        check_extra_names(sample.extras)
    fields: dict[str, Any] = {
        "image/channels": sample.channels,
        "image/class/text": sample.class_text,
        _KEY: sample.key,
        "image/format": sample.image_format,
        "image/height": sample.height,
        "image/key/sha256": sample.source_sha256,
        "image/width": sample.width,
    }
    fields = {name: value for name, value in fields.items() if value}
    members = {extension_of(sample.image_format): sample.encoded}
    for name, picture in sample.pictures.items():
        members[f"{name}.{extension_of(picture.image_format)}"] = picture.encoded
    if isinstance(sample.label, int):
        members[CLASS_EXTENSION] = str(sample.label).encode()
    elif sample.label:
        fields[_LABEL] = tuple(map(float, sample.label))
    fields |= sample.extras
    members[FIELDS_EXTENSION] = _encode_fields(fields, sample.key)
    return dict(sorted(members.items()))


def extension_of(image_format: str) -> str:
    """Return the extension of files of a format."""
    return _EXTENSIONS.get(image_format, image_format)


def _encode_fields(fields: Mapping[str, Any], key: str) -> bytes:
    try:
        data = msgspec.json.encode(fields, order="sorted")
    except (UnicodeEncodeError, OverflowError) as error:
        raise OptionsError(f"{key}: expected texts in UTF-8 and numbers of 64 bits: {error}") from None
    if b"null" in data:  # what becomes of a number that JSON cannot hold
        for name, value in fields.items():
            values = value if isinstance(value, tuple) else (value,)
            if any(isinstance(one, float) and not math.isfinite(one) for one in values):
                raise OptionsError(f"{key}: {name}: expected finite numbers, since JSON has no others, got {value!r}")
    return data


def decode_members(members: Members) -> Sample:
    """Return the sample of members that `encode_members` made. Binary extras come back as their Base64.

    Raises:
        MalformedError: there is no image, more than one, or no JSON; the JSON or the class is none, or a field of the
            image has another type.
    """
    others = [extension for extension in members if extension not in (CLASS_EXTENSION, FIELDS_EXTENSION)]
    images = [extension for extension in others if "." not in extension]
    if len(images) != 1 or FIELDS_EXTENSION not in members:
        raise MalformedError(f"expected an image and .json, got {', '.join(members) or 'no members'}")
    encoded = bytes(members[images[0]])
    try:
        fields = msgspec.json.decode(members[FIELDS_EXTENSION], type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedError(f".json: expected a JSON object: {error}") from None
    return Sample(
        key=_take(fields, _KEY, ""),
        encoded=encoded,
        image_format=_take(fields, "image/format", "") or sniff_image_format(encoded),
        height=_take(fields, "image/height", 0),
        width=_take(fields, "image/width", 0),
        channels=_take(fields, "image/channels", 0),
        label=_parse_label(members.get(CLASS_EXTENSION), fields),
        class_text=_take(fields, "image/class/text", ""),
        source_sha256=_take(fields, "image/key/sha256", ""),
        extras={
            name: tuple(value) if isinstance(value, list) else value
            for name, value in fields.items()
            if name not in RESERVED_FEATURES
        },
        pictures=dict(_picture(extension, members[extension]) for extension in others if "." in extension),
    )


def _picture(extension: str, content: bytes | memoryview) -> tuple[str, Picture]:
    name, _, _ = extension.partition(".")
    encoded = bytes(content)
    return name, Picture(encoded=encoded, image_format=sniff_image_format(encoded))


def _take(fields: Mapping[str, Any], name: str, default: _T) -> _T:
    value = fields.get(name, default)
    if type(value) is not type(default):
        raise MalformedError(f".json: {name}: expected {type(default).__name__}, got {type(value).__name__}")
    return value


def _parse_label(text: bytes | memoryview | None, fields: Mapping[str, Any]) -> Label:
    if text is not None:
        digits = bytes(text)
        if not digits.removeprefix(b"-").isdigit() or len(digits) > 20:
            raise MalformedError(f".cls: expected a class id, got {digits[:80]!r}")
        return int(digits)
    values: list[float] = _take(fields, _LABEL, [])
    if any(type(value) is not float for value in values):
        raise MalformedError(f".json: {_LABEL}: expected numbers with a fraction, got others")
    return tuple(values) or None
