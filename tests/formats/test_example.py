import hashlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packer.errors import OptionsError
from packer.formats.example import decode_example, encode_example
from packer.formats.framing import MalformedError

int64s = st.integers(-(2**63), 2**63 - 1)
floats = st.floats(width=32, allow_nan=False)
texts = st.text(max_size=20)
byte_strings = st.binary(max_size=200)
values = st.one_of(
    int64s,
    floats,
    texts,
    byte_strings,
    *(st.lists(one, max_size=5).map(tuple) for one in (int64s, floats, texts, byte_strings)),
)
features = st.dictionaries(texts, values, max_size=6)

MIXED = {
    "image/encoded": b"\xff\xd8\xff" + bytes(200),
    "b": "text",
    "a": -1,
    "floats": (1.5, -2.0, float("inf")),
    "ints": (0, 127, 128, -(2**63), 2**63 - 1),
    "texts": ("x", "", "é"),
    "none": (),
    "": 300,
}


def normal(value):
    """Return what decoding gives for an encoded value."""
    several = value if isinstance(value, tuple) else (value,)
    return tuple(one.encode() if isinstance(one, str) else one for one in several)


def message(number, body, wire_type=2):
    """Return a field with a length below 128."""
    return bytes((number << 3 | wire_type, len(body))) + body


def example(feature, name=b"x"):
    return message(1, message(1, message(1, name) + message(2, feature)))


def test_known_bytes_of_two_features_in_sorted_order():
    assert encode_example({"b": 1, "a": "xy"}) == bytes.fromhex(
        "0a19"  # Features
        "0a0b 0a0161 1206 0a04 0a027879"  # "a": BytesList
        "0a0a 0a0162 1205 1a03 0a0101"  # "b": Int64List, packed
    )


def test_golden_digest():
    assert (
        hashlib.sha256(encode_example(MIXED)).hexdigest()
        == "80dc4ddd658366d90e5723cec3659b93eb47bf5c3d8e9c1171ecbaf1e600d235"
    )


@given(features)
def test_round_trip(features):
    encoded = encode_example(features)
    decoded = decode_example(memoryview(encoded))
    assert decoded == {name: normal(value) for name, value in features.items()}
    assert list(decoded) == sorted(features)
    assert encode_example(decoded) == encoded


@given(features)
def test_order_of_insertion_does_not_matter(features):
    assert encode_example(dict(reversed(features.items()))) == encode_example(features)


def test_signed_zero_and_integer_twins_keep_their_bits():
    decoded = decode_example(encode_example({"f": (0.0, -0.0), "one": 1, "true": True, "mixed": (1, 0.5)}))
    assert [struct.pack("<f", value).hex() for value in decoded["f"]] == ["00000000", "00000080"]
    assert decoded["one"] == decoded["true"] == (1,)
    assert decoded["mixed"] == (1.0, 0.5)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (2**63, "int64"),
        ((1, -(2**63) - 1), "int64"),
        (1e39, "float32"),
        ((1.0, -1e39), "float32"),
        ("\udcff", "UTF-8"),
        ([1], "got list"),
        (None, "got NoneType"),
        ((1, "x"), "got a tuple of mixed or other values"),
        (((1,),), "got a tuple of mixed or other values"),
    ],
)
def test_values_that_no_feature_holds_are_refused_by_name(value, problem):
    with pytest.raises(OptionsError, match=rf"feature 'col': .*{problem}"):
        encode_example({"col": value})


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (example(message(3, message(1, b"\x05\x80\x01"))), (5, 128)),  # packed
        (example(message(3, b"\x08\x05\x08\x80\x01")), (5, 128)),  # unpacked
        (example(message(3, b"\x08\x05" + message(1, b"\x06") + b"\x08\x07")), (5, 6, 7)),  # both
        (example(message(3, b"\x08" + b"\xff" * 9 + b"\x01")), (-1,)),
        (example(message(2, message(1, struct.pack("<2f", 1, 2)))), (1.0, 2.0)),
        (example(message(2, b"\x0d" + struct.pack("<f", 1) + b"\x0d" + struct.pack("<f", 2))), (1.0, 2.0)),
        (example(message(1, message(1, b"a") + message(1, b""))), (b"a", b"")),
        (example(b""), ()),
        (example(message(3, b"")), ()),
        (example(message(3, message(1, b"\x01")) + message(3, message(1, b"\x02"))), (1, 2)),  # merged
        (example(message(3, message(1, b"\x01")) + message(1, message(1, b"z"))), (b"z",)),  # the last kind wins
        (message(1, message(1, message(2, message(3, b"\x08\x07")) + message(1, b"x"))), (7,)),  # value before key
        (message(1, message(1, message(1, b"x") + message(2, message(3, b"\x08\x01")) * 2)), (1, 1)),  # value twice
        (example(message(3, b"\x08\x01")) + example(message(3, b"\x08\x02")), (2,)),  # features and key twice
    ],
)
def test_all_that_protobuf_may_write_is_read(payload, expected):
    assert decode_example(payload) == {"x": expected}


UNKNOWN = b"\x78\x96\x01" + b"\x79" + bytes(8) + message(15, b"unknown") + b"\x7d" + bytes(4) + b"\xfa\xff\x03\x01z"


def test_unknown_fields_are_skipped_at_every_level():
    list_ = UNKNOWN + message(1, b"\x05") + UNKNOWN
    feature = UNKNOWN + message(3, list_) + UNKNOWN
    entry = (
        UNKNOWN + message(1, b"x") + UNKNOWN + bytes((0x12, 0x80 | len(feature) & 0x7F, len(feature) >> 7)) + feature
    )
    features = UNKNOWN + b"\x0a" + bytes((0x80 | len(entry) & 0x7F, len(entry) >> 7)) + entry
    payload = UNKNOWN + b"\x0a" + bytes((0x80 | len(features) & 0x7F, len(features) >> 7)) + features + UNKNOWN
    assert decode_example(payload) == {"x": (5,)}
    assert decode_example(b"") == decode_example(UNKNOWN) == {}


@pytest.mark.parametrize(
    "payload",
    [
        b"\x0a",
        b"\x0a\x05\x0a",
        b"\x0a\x80",
        b"\x0a" + b"\xff" * 11,
        b"\x0b",  # groups are not in use
        b"\x02\x00",  # field number 0
        example(message(2, message(1, b"abc"))),  # not a multiple of 4 bytes
        example(message(3, message(1, b"\x80"))),
        example(message(3, message(1, b"\x80")) + message(3, b"")),  # a number that runs on into the next message
        example(message(3, b"\x08" + b"\xff" * 10 + b"\x01")),
        example(message(1, b"\x0a\x05a")),
        example(b"", name=b"\xff"),
        b"\x7d\x00",
    ],
)
def test_garbage_is_refused(payload):
    with pytest.raises(MalformedError, match=r"not a tf\.train\.Example"):
        decode_example(payload)


def test_a_field_that_passes_its_message_but_not_the_payload_is_refused():
    entry = bytearray(encode_example({"a": b"x" * 100, "b": b"y" * 100}))
    entry[entry.index(b"\x12") + 1] += 20
    with pytest.raises(MalformedError, match="past its message"):
        decode_example(bytes(entry))


@given(st.binary(max_size=60), features, st.data())
def test_random_and_damaged_bytes_give_features_or_the_typed_error(noise, features, data):
    good = bytearray(encode_example(features))
    good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    for payload in (noise, bytes(good), bytes(good)[: len(good) // 2]):
        try:
            decoded = decode_example(payload)
        except MalformedError:
            continue
        assert all(isinstance(value, tuple) for value in decoded.values())


@pytest.fixture(scope="module")
def tf():
    return pytest.importorskip("tensorflow")


def tensorflow_example(tf, features):
    made = tf.train.Example()
    made.features.SetInParent()
    for name, value in features.items():
        feature = made.features.feature[name]
        several = normal(value)
        if several and isinstance(several[0], bytes):
            feature.bytes_list.value.extend(several)
        elif several and isinstance(several[0], float):
            feature.float_list.value.extend(several)
        elif several:
            feature.int64_list.value.extend(several)
    return made


@pytest.mark.tensorflow
def test_bytes_are_those_of_protobufs_deterministic_serialisation(tf):
    features = {name: value for name, value in MIXED.items() if name}  # some builds put a name after those it begins
    made = tensorflow_example(tf, features)
    assert encode_example(features) == made.SerializeToString(deterministic=True)
    assert decode_example(made.SerializeToString()) == {name: normal(value) for name, value in features.items()}


@pytest.mark.tensorflow
@given(features)
def test_protobuf_reads_ours_and_we_read_protobufs(tf, features):
    made = tensorflow_example(tf, features)
    assert tf.train.Example.FromString(encode_example(features)) == made
    assert decode_example(made.SerializeToString()) == {name: normal(value) for name, value in features.items()}


@pytest.mark.tensorflow
@given(st.binary(max_size=40))
def test_what_protobuf_accepts_we_read_alike(tf, noise):
    """Wrapped noise reaches the inner messages; where protobuf parses it, so must we, to the same values."""
    for payload in (
        example(message(3, noise)),
        example(message(2, noise)),
        example(noise),
    ):
        try:
            theirs = tf.train.Example.FromString(payload)
        except Exception:  # protobuf's own error type is not the same in all of its builds
            continue
        expected = {}
        for name, feature in theirs.features.feature.items():
            kind = feature.WhichOneof("kind")
            expected[name] = tuple(getattr(feature, kind).value) if kind else ()
        if any((tag & 7) in (3, 4) for tag in noise):
            continue  # may hold a group, which protobuf skips and we refuse
        assert repr(decode_example(payload)) == repr(expected)
