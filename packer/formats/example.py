"""tf.train.Example, written and read without TensorFlow.

    Example  { Features features = 1; }
    Features { map<string, Feature> feature = 1; }          map entry: key = 1, value = 2
    Feature  { oneof: BytesList = 1, FloatList = 2, Int64List = 3 }          each list: repeated value = 1

A protobuf message is a run of (tag, value), tag = field number << 3 | wire type. The writer gives each set of features
one encoding: names in code point order (which protobuf's maps do not promise), numbers packed. The reader takes
everything protobuf may write: any order, packed and unpacked numbers, fields it does not know, messages in pieces.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TypeAlias, cast

from packer.errors import OptionsError
from packer.formats.container import ExtraValue
from packer.formats.framing import MalformedError

FeatureValues: TypeAlias = "tuple[int, ...] | tuple[float, ...] | tuple[bytes, ...]"
"""Values of one feature; empty where it has none, whatever its kind."""

EncodableValue: TypeAlias = "ExtraValue | tuple[bytes, ...]"

# Tags of field 1 with a length (every nesting and list has that number), of a map entry's value, of a Feature's kinds.
_FIELD_1 = _BYTES_LIST = 0x0A
_MAP_VALUE = _FLOAT_LIST = 0x12
_INT64_LIST = 0x1A
_UNPACKED_FLOAT = 0x0D
_UNPACKED_INT64 = 0x08

_SMALL_ENTRY_BYTES = 64


def encode_example(features: Mapping[str, EncodableValue]) -> bytes:
    """Return the serialised Example: int to int64_list, float to float_list, str (as UTF-8) and bytes to bytes_list.

    A tuple gives a list of its values, floats if any is one; an empty tuple gives a feature without a kind.

    Raises:
        OptionsError: a value of another type, or one beyond int64, float32 or UTF-8; it names the feature.
    """
    parts: list[bytes] = []
    for name in sorted(features):
        parts += _encode_feature(name, features[name])
    return b"".join((b"\x0a", _varint(sum(map(len, parts))), *parts))


def _encode_feature(name: str, value: EncodableValue) -> tuple[bytes, bytes]:
    """Return all of a map entry before the (last) value's bytes, and these bytes, which may be large."""
    try:
        if isinstance(value, bytes):
            return _value_head(name, _BYTES_LIST, len(value)), value
        if isinstance(value, str):
            encoded = value.encode()
            return _value_head(name, _BYTES_LIST, len(encoded)), encoded
        if isinstance(value, int):
            packed = _pack_int(value)
            return _value_head(name, _INT64_LIST, len(packed)), packed
        if isinstance(value, float):
            return _value_head(name, _FLOAT_LIST, 4), struct.pack("<f", value)
        if isinstance(value, tuple):
            return _encode_tuple(name, value)
    except (OverflowError, UnicodeEncodeError) as error:
        raise OptionsError(f"feature {name!r}: expected int64, float32 or UTF-8 values: {error}") from None
    raise _wrong_type(name, value)


def _encode_tuple(name: str, values: tuple[object, ...]) -> tuple[bytes, bytes]:
    if not values:
        return _entry_head(name, 0), b""
    if all(isinstance(value, int) for value in values):
        packed = b"".join(_pack_int(value) for value in values if isinstance(value, int))
        return _value_head(name, _INT64_LIST, len(packed)), packed
    if all(isinstance(value, int | float) for value in values):
        return _value_head(name, _FLOAT_LIST, 4 * len(values)), struct.pack(f"<{len(values)}f", *values)
    if all(isinstance(value, str | bytes) for value in values):
        pieces = [
            value.encode() if isinstance(value, str) else value for value in values if isinstance(value, str | bytes)
        ]
        body = b"".join(part for piece in pieces for part in (b"\x0a", _varint(len(piece)), piece))
        return _list_head(name, _BYTES_LIST, len(body)), body
    raise _wrong_type(name, values)


def _wrong_type(name: str, value: object) -> OptionsError:
    found = "a tuple of mixed or other values" if isinstance(value, tuple) else type(value).__name__
    return OptionsError(f"feature {name!r}: expected int, float, text, bytes or a tuple of one of these, got {found}")


# The memos below are of pure functions. Names, sizes and small integers recur from sample to sample, so that most of a
# sample's framing is looked up: 5 us instead of 15 us for 8 features.


@lru_cache(maxsize=4096)
def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


@lru_cache(maxsize=4096)
def _pack_int(value: int) -> bytes:
    if not -(1 << 63) <= value < 1 << 63:
        raise OverflowError(str(value))
    return _varint(value & 0xFFFFFFFFFFFFFFFF)


@lru_cache(maxsize=4096)
def _value_head(name: str, kind: int, num_bytes: int) -> bytes:
    """Return a map entry up to the `num_bytes` bytes of its only string or of its packed numbers."""
    inner = b"\x0a" + _varint(num_bytes)
    return _list_head(name, kind, len(inner) + num_bytes) + inner


def _list_head(name: str, kind: int, num_bytes: int) -> bytes:
    """Return a map entry up to the `num_bytes` bytes of its list."""
    inner = bytes((kind,)) + _varint(num_bytes)
    return _entry_head(name, len(inner) + num_bytes) + inner


def _entry_head(name: str, num_bytes: int) -> bytes:
    """Return a map entry up to the `num_bytes` bytes of its Feature."""
    key = name.encode()
    inner = b"\x0a" + _varint(len(key)) + key + b"\x12" + _varint(num_bytes)
    return b"\x0a" + _varint(len(inner) + num_bytes) + inner


def decode_example(payload: bytes | memoryview) -> dict[str, FeatureValues]:
    """Return the values by feature name. A name that comes twice has its last values, as in protobuf.

    Raises:
        MalformedError: the payload is no tf.train.Example; it names the byte of the feature.
    """
    data = bytes(payload)
    features: dict[str, FeatureValues] = {}
    at = 0
    try:
        while at < len(data):
            tag, entry, at = _next_field(data, at, len(data))
            while tag == _FIELD_1 and entry < at:
                tag_inside, start, entry = _next_field(data, entry, at)
                if tag_inside == _FIELD_1:
                    name, values = _parse_entry_at(data, start, entry)
                    features[name] = values
    except IndexError:
        raise MalformedError("not a tf.train.Example: it ends inside a field") from None
    except ValueError as error:
        raise MalformedError(f"not a tf.train.Example: before byte {at:,} of the payload: {error}") from None
    return features


def _parse_entry_at(data: bytes, start: int, stop: int) -> tuple[str, FeatureValues]:
    """Small entries (sizes, format, label) are often the same in many samples, and are looked up."""
    if stop - start <= _SMALL_ENTRY_BYTES:
        return _parse_small_entry(data[start:stop])
    return _parse_entry(data, start, stop)


@lru_cache(maxsize=4096)
def _parse_small_entry(entry: bytes) -> tuple[str, FeatureValues]:
    return _parse_entry(entry, 0, len(entry))


def _parse_entry(data: bytes, at: int, end: int) -> tuple[str, FeatureValues]:
    name = ""
    kind = 0
    values: FeatureValues = ()
    while at < end:
        tag, start, at = _next_field(data, at, end)
        if tag == _FIELD_1:
            name = data[start:at].decode()
        elif tag == _MAP_VALUE:
            kind, values = _parse_feature(data, start, at, kind, values)
    return name, values


def _parse_feature(data: bytes, at: int, end: int, kind: int, values: FeatureValues) -> tuple[int, FeatureValues]:
    """Merge the Feature at [at, end) into (kind, values): the same kind adds values, another one replaces them."""
    while at < end:
        tag, start, at = _next_field(data, at, end)
        if tag in (_BYTES_LIST, _FLOAT_LIST, _INT64_LIST):
            if tag != kind:
                kind, values = tag, ()
            more = _LIST_PARSERS[tag](data, start, at)
            values = cast("FeatureValues", (*values, *more)) if values else more
    return kind, values


def _parse_bytes_list(data: bytes, at: int, end: int) -> tuple[bytes, ...]:
    values = []
    while at < end:
        tag, start, at = _next_field(data, at, end)
        if tag == _FIELD_1:
            values.append(data[start:at])
    return tuple(values)


def _parse_float_list(data: bytes, at: int, end: int) -> tuple[float, ...]:
    values: list[float] = []
    while at < end:
        tag, start, at = _next_field(data, at, end)
        if tag in (_FIELD_1, _UNPACKED_FLOAT):
            if (at - start) % 4:
                raise MalformedError(f"expected packed floats of 4 bytes each, got {at - start} bytes")
            values += struct.unpack_from(f"<{(at - start) // 4}f", data, start)
    return tuple(values)


def _parse_int64_list(data: bytes, at: int, end: int) -> tuple[int, ...]:
    values = []
    while at < end:
        tag, start, at = _next_field(data, at, end)
        if tag in (_FIELD_1, _UNPACKED_INT64):
            while start < at:
                value, start = _read_varint(data, start, at)
                values.append(value - (1 << 64) if value >> 63 else value)
    return tuple(values)


_LIST_PARSERS: dict[int, Callable[[bytes, int, int], FeatureValues]] = {
    _BYTES_LIST: _parse_bytes_list,
    _FLOAT_LIST: _parse_float_list,
    _INT64_LIST: _parse_int64_list,
}


def _next_field(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    """Return the tag of the field at `at` (below `end`) and the span [start, stop) of its value, after any length.

    Raises:
        MalformedError: the field runs past `end`, or is none. IndexError where `data` itself ends inside a number.
    """
    tag = data[at]
    start = at + 1
    if tag > 0x7F:
        tag, start = _read_varint(data, at, end)
    wire_type = tag & 7
    if wire_type == 2:
        length = data[start]
        start += 1
        if length > 0x7F:
            length, start = _read_varint(data, start - 1, end)
        stop = start + length
    elif wire_type == 0:
        _, stop = _read_varint(data, start, end)
    elif wire_type in (1, 5):
        stop = start + (8 if wire_type == 1 else 4)
    else:
        raise MalformedError(f"expected a field, got the tag {tag}")
    if stop > end or tag < 8:
        raise MalformedError(f"a field with the tag {tag} ends {stop - end} bytes past its message, or has no number")
    return tag, start, stop


def _read_varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Return the number (modulo 2**64) at `at` and the offset after it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if at > end:
                break
            return value & 0xFFFFFFFFFFFFFFFF, at
    raise MalformedError("expected a number of at most 10 bytes inside its message, got a longer one")
