"""MXNet's image record: an IRHeader, label values where there are several, and the image file's bytes.

    | uint32 flag | float32 label | uint64 id | uint64 id2 | flag x float32 | image |

Little-endian. flag 0: `label` is the label. flag n: `label` is 0 and n float32 values follow. The id is the position
in the shard, id2 is 0. Nothing else of a sample fits: key, size, class text and extras are not stored.
"""

from __future__ import annotations

import struct

from packer.errors import OptionsError
from packer.formats.container import Label, Sample
from packer.formats.field_features import detection_label, first_boxes
from packer.formats.framing import MalformedError
from packer.formats.image_magic import sniff_image_format

MAX_CLASS_ID = 1 << 24
"""The greatest class id such that it and all below are exact in float32."""

_HEADER = struct.Struct("<IfQQ")
_NO_LABEL = -1.0


def encode_image_record(sample: Sample, *, position: int) -> bytes:
    """Return the payload of a sample; no label, and an empty vector, are stored as -1. Boxes take the label's place.

    Raises:
        OptionsError: a class id outside [0, MAX_CLASS_ID], or a label value that is no float32.
    """
    spec = first_boxes(sample)
    label = sample.label if spec is None else detection_label(sample, spec)
    if isinstance(label, tuple) and label:
        return _HEADER.pack(len(label), 0.0, position, 0) + _pack_vector(label, sample.key) + sample.encoded
    return _HEADER.pack(0, _scalar(label, sample.key), position, 0) + sample.encoded


def _scalar(label: Label, key: str) -> float:
    if not isinstance(label, int):
        return _NO_LABEL
    if not 0 <= label <= MAX_CLASS_ID:
        raise OptionsError(
            f"{key}: class id {label} does not fit RecordIO, whose label is a float32: expected 0 to {MAX_CLASS_ID} "
            "(-1 means no label); number the classes from 0 or use `format=tfrecord`"
        )
    return float(label)


def _pack_vector(label: tuple[float, ...], key: str) -> bytes:
    try:
        return struct.pack(f"<{len(label)}f", *label)
    except (struct.error, OverflowError):
        raise OptionsError(f"{key}: expected label values within float32, got {label!r}") from None


def decode_image_record(payload: bytes | memoryview) -> Sample:
    """Return the sample, its key empty. A scalar label is an int where it is integral, None where it is -1.

    A scalar that is no whole number comes back as a vector of one value.

    Raises:
        MalformedError: the header or its label values are cut short.
    """
    if len(payload) < _HEADER.size:
        raise MalformedError(f"expected an IRHeader of {_HEADER.size} bytes, got {len(payload)} bytes of payload")
    flag, scalar, _, _ = _HEADER.unpack_from(payload)
    start = _HEADER.size + 4 * flag
    if start > len(payload):
        raise MalformedError(f"expected {flag:,} label values after the IRHeader, got {len(payload)} bytes of payload")
    encoded = bytes(payload[start:])
    label = struct.unpack_from(f"<{flag}f", payload, _HEADER.size) if flag else _parse_scalar(scalar)
    return Sample(key="", encoded=encoded, image_format=sniff_image_format(encoded), label=label)


def _parse_scalar(scalar: float) -> Label:
    if scalar == _NO_LABEL:
        return None
    return int(scalar) if scalar.is_integer() else (scalar,)
