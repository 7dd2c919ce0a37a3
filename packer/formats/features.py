"""Samples as features of a tf.train.Example: which name holds what.

    image/encoded bytes     image/height int64      image/class/label int64, or floats for a vector
    image/format bytes      image/width int64       image/class/text bytes
    image/filename bytes    image/channels int64    image/key/sha256 bytes       extras under their own names

Masks, further images, and what follows from boxes and key points: field_features.py.
What a sample lacks (no label, an empty text, a size of 0) is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

from packer.errors import OptionsError
from packer.formats.container import ExtraValue, Label, Picture, Sample
from packer.formats.example import EncodableValue, FeatureValues, decode_example, encode_example
from packer.formats.field_features import column_names, field_features, picture_names
from packer.formats.framing import MalformedError
from packer.formats.image_magic import sniff_image_format

_LABEL = "image/class/label"
RESERVED_FEATURES = frozenset(
    {
        "image/channels",
        _LABEL,
        "image/class/text",
        "image/encoded",
        "image/filename",
        "image/format",
        "image/height",
        "image/key/sha256",
        "image/width",
    }
)


def check_extra_names(names: Iterable[str]) -> None:
    """Raise OptionsError naming the extra columns whose names belong to features of the image itself."""
    taken = sorted(RESERVED_FEATURES.intersection(names))
    if taken:
        raise OptionsError(
            f"extra column {', '.join(taken)}: expected other names than the image's own features "
            f"({', '.join(sorted(RESERVED_FEATURES))}); rename the column"
        )


def encode_sample_example(sample: Sample, *, position: int) -> bytes:
    """Return the sample as a serialised Example; equal samples give equal bytes, at whatever `position`.

    Raises:
        OptionsError: an extra has a reserved name or a value that no feature holds.
    """
    if not RESERVED_FEATURES.isdisjoint(sample.extras):
        check_extra_names(sample.extras)
    features: dict[str, EncodableValue] = {
        "image/channels": sample.channels,
        "image/class/text": sample.class_text,
        "image/filename": sample.key,
        "image/format": sample.image_format,
        "image/height": sample.height,
        "image/key/sha256": sample.source_sha256,
        "image/width": sample.width,
    }
    features = {name: value for name, value in features.items() if value}
    features["image/encoded"] = sample.encoded
    label = sample.label
    if isinstance(label, int):
        features[_LABEL] = label
    elif label:
        features[_LABEL] = tuple(map(float, label))
    features.update(sample.extras)
    if sample.fields or sample.pictures:
        features.update(field_features(sample))
    return encode_example(features)


def decode_sample_example(payload: bytes | memoryview) -> Sample:
    """Return the sample. A lower-case format is found in the image's bytes where it is not stored.

    Extras of one value come back as that value, others as tuples; bytes come back as text where they are UTF-8.

    Raises:
        MalformedError: the payload is no Example, has no image/encoded, or a feature of the image has another kind.
    """
    features = decode_example(payload)
    columns = [name for name in column_names(features) if name not in RESERVED_FEATURES]
    encoded = _single_bytes(features, "image/encoded")
    if not features.get("image/encoded"):
        raise MalformedError(f"expected the feature image/encoded, got {', '.join(sorted(features)) or 'no features'}")
    return Sample(
        key=_single_text(features, "image/filename"),
        encoded=encoded,
        image_format=_single_text(features, "image/format").lower() or sniff_image_format(encoded),
        height=_single_int(features, "image/height"),
        width=_single_int(features, "image/width"),
        channels=_single_int(features, "image/channels"),
        label=_parse_label(features.get(_LABEL, ())),
        class_text=_single_text(features, "image/class/text"),
        source_sha256=_single_text(features, "image/key/sha256"),
        extras={name: _parse_extra(features[name]) for name in columns},
        pictures={name: _picture(features, name) for name in picture_names(features)},
    )


def _picture(features: Mapping[str, FeatureValues], name: str) -> Picture:
    encoded = _single_bytes(features, f"image/{name}/encoded")
    return Picture(encoded=encoded, image_format=_single_text(features, f"image/{name}/format"))


def _single_bytes(features: Mapping[str, FeatureValues], name: str) -> bytes:
    values = features.get(name)
    if not values:
        return b""
    if len(values) == 1 and isinstance(values[0], bytes):
        return values[0]
    raise _wrong_kind(name, values, "one byte string")


def _single_text(features: Mapping[str, FeatureValues], name: str) -> str:
    try:
        return _single_bytes(features, name).decode()
    except UnicodeDecodeError as error:
        raise MalformedError(f"feature {name}: expected UTF-8, got {error}") from None


def _single_int(features: Mapping[str, FeatureValues], name: str) -> int:
    values = features.get(name)
    if not values:
        return 0
    if len(values) == 1 and isinstance(values[0], int):
        return values[0]
    raise _wrong_kind(name, values, "one int64")


def _wrong_kind(name: str, values: FeatureValues, expected: str) -> MalformedError:
    return MalformedError(f"feature {name}: expected {expected}, got {len(values)} of {type(values[0]).__name__}")


def _parse_label(values: FeatureValues) -> Label:
    if not values:
        return None
    if isinstance(values[0], bytes):
        raise _wrong_kind(_LABEL, values, "an int64 or floats")
    if len(values) == 1 and isinstance(values[0], int):
        return values[0]
    return tuple(map(float, values))


def _parse_extra(values: FeatureValues) -> ExtraValue:
    extra: object = values
    if values and isinstance(values[0], bytes):
        try:
            extra = tuple(value.decode() for value in values if isinstance(value, bytes))
        except UnicodeDecodeError:
            extra = values
    return cast("ExtraValue", extra[0] if isinstance(extra, tuple) and len(extra) == 1 else extra)
