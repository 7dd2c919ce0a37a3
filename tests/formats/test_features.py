import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packer.errors import CorruptRecordError, OptionsError
from packer.formats.container import Sample
from packer.formats.example import decode_example, encode_example
from packer.formats.features import RESERVED_FEATURES, check_extra_names
from packer.formats.tfrecord import CONTAINER as TFRECORD

JPEG = b"\xff\xd8\xff\xe0" + bytes(range(100))
FULL = Sample(
    key="n01440764/tench.JPEG",
    encoded=JPEG,
    image_format="jpeg",
    height=256,
    width=341,
    channels=3,
    label=0,
    class_text="tench, Tinca tinca",
    source_sha256="ab" * 32,
    extras={"box": (0.25, 0.5), "source": "flickr", "year": 2012},
)

texts = st.text(min_size=1, max_size=20)
extra_names = st.text(max_size=20).filter(lambda name: name not in RESERVED_FEATURES)
floats = st.floats(width=32, allow_nan=False)
int64s = st.integers(-(2**63), 2**63 - 1)
several = [st.lists(one, min_size=2, max_size=4).map(tuple) for one in (int64s, floats, texts)]
samples = st.builds(
    Sample,
    key=texts,
    encoded=st.binary(max_size=100),
    image_format=st.sampled_from(["jpeg", "png", "webp"]),
    height=st.integers(1, 70_000),
    width=st.integers(1, 70_000),
    channels=st.sampled_from([1, 3, 4]),
    label=st.none() | int64s | st.lists(floats, min_size=1, max_size=4).map(tuple),
    class_text=st.text(max_size=20),
    source_sha256=st.binary(max_size=32).map(bytes.hex),
    extras=st.dictionaries(extra_names, st.one_of(int64s, floats, texts, st.just(b"\xff\0"), *several), max_size=4),
)


def encode(sample, position=0):
    return TFRECORD.encode_sample(sample, position=position)


@given(samples)
def test_round_trip(sample):
    assert TFRECORD.decode_sample(encode(sample)) == sample
    assert TFRECORD.decode_sample(memoryview(encode(sample))) == sample


def test_features_of_a_full_sample():
    assert decode_example(encode(FULL)) == {
        "box": (0.25, 0.5),
        "image/channels": (3,),
        "image/class/label": (0,),
        "image/class/text": (b"tench, Tinca tinca",),
        "image/encoded": (JPEG,),
        "image/filename": (b"n01440764/tench.JPEG",),
        "image/format": (b"jpeg",),
        "image/height": (256,),
        "image/key/sha256": (b"ab" * 32,),
        "image/width": (341,),
        "source": (b"flickr",),
        "year": (2012,),
    }


def test_what_a_sample_lacks_is_left_out():
    bare = Sample(key="a.jpg", encoded=JPEG, image_format="jpeg", height=2, width=3, channels=1)
    assert sorted(decode_example(encode(bare))) == [
        "image/channels",
        "image/encoded",
        "image/filename",
        "image/format",
        "image/height",
        "image/width",
    ]
    assert TFRECORD.decode_sample(encode(replace(bare, label=()))).label is None


def test_golden_digest_at_any_position():
    digest = "90555c5e5c7a0c7cb9d529b2c68d9e83d80ff8d2cb5aa6e16ab7c205ea68af76"
    assert [hashlib.sha256(encode(FULL, position)).hexdigest() for position in (0, 7)] == [digest, digest]


def test_vector_label_is_a_float_list():
    encoded = encode(replace(FULL, label=(1, 0.5)))
    assert decode_example(encoded)["image/class/label"] == (1.0, 0.5)
    assert TFRECORD.decode_sample(encoded).label == (1.0, 0.5)


@pytest.mark.parametrize("name", sorted(RESERVED_FEATURES))
def test_extras_with_a_reserved_name_are_refused(name):
    with pytest.raises(OptionsError, match=f"extra column {name}: expected other names"):
        check_extra_names(["fine", name])
    with pytest.raises(OptionsError, match=f"extra column {name}: expected other names"):
        encode(replace(FULL, extras={name: 1}))
    assert check_extra_names(["fine", "image/other", "label"]) is None


def test_foreign_features_are_understood():
    sample = TFRECORD.decode_sample(
        encode_example(
            {
                "image/encoded": JPEG,
                "image/format": "JPEG",
                "image/class/label": (1, 2),
                "image/object/bbox/xmin": (0.1, 0.9),
                "masks": (b"\x89PNG", b"\xff"),
                "names": ("a", "b"),
                "empty": (),
            }
        )
    )
    assert (sample.image_format, sample.label, sample.height, sample.key) == ("jpeg", (1.0, 2.0), 0, "")
    assert sample.extras["masks"] == (b"\x89PNG", b"\xff")
    assert sample.extras["names"] == ("a", "b")
    assert sample.extras["empty"] == ()
    assert TFRECORD.decode_sample(encode(sample)) == sample
    assert TFRECORD.decode_sample(encode_example({"image/encoded": JPEG})).image_format == "jpeg"


@pytest.mark.parametrize(
    ("features", "problem"),
    [
        ({}, "expected the feature image/encoded, got no features"),
        ({"b": 1, "a": 2}, "expected the feature image/encoded, got a, b"),
        ({"image/encoded": 5}, "feature image/encoded: expected one byte string, got 1 of int"),
        ({"image/encoded": (b"a", b"b")}, "feature image/encoded: expected one byte string, got 2 of bytes"),
        ({"image/encoded": b"x", "image/height": 2.0}, "feature image/height: expected one int64, got 1 of float"),
        ({"image/encoded": b"x", "image/class/label": "cat"}, "feature image/class/label: expected an int64 or floats"),
        ({"image/encoded": b"x", "image/filename": b"\xff"}, "feature image/filename: expected UTF-8"),
    ],
)
def test_features_of_another_kind_are_refused_with_the_place(features, problem):
    with pytest.raises(CorruptRecordError) as caught:
        TFRECORD.decode_sample(encode_example(features), name="s.tfrecord", record_index=3, offset_bytes=99)
    assert str(caught.value).startswith(f"s.tfrecord: record 3 at byte 99: {problem}")


@given(st.binary(max_size=60))
def test_random_payloads_give_the_typed_error(payload):
    with pytest.raises(CorruptRecordError):
        TFRECORD.decode_sample(payload)


@pytest.mark.tensorflow
def test_tensorflow_parses_our_shard(tmp_path):
    tf = pytest.importorskip("tensorflow")
    shard = tmp_path / "f.tfrecord"
    others = [FULL, replace(FULL, label=999, extras={})]
    shard.write_bytes(b"".join(b"".join(TFRECORD.frame(encode(sample))) for sample in others))
    fixed = tf.io.FixedLenFeature
    schema = {
        "image/encoded": fixed([], tf.string),
        "image/format": fixed([], tf.string),
        "image/height": fixed([], tf.int64),
        "image/width": fixed([], tf.int64),
        "image/channels": fixed([], tf.int64),
        "image/class/label": fixed([], tf.int64),
        "image/class/text": fixed([], tf.string),
        "image/filename": fixed([], tf.string),
        "image/key/sha256": fixed([], tf.string),
        "box": tf.io.VarLenFeature(tf.float32),
    }
    parsed = [tf.io.parse_single_example(raw, schema) for raw in tf.data.TFRecordDataset(str(shard))]
    assert [int(row["image/class/label"]) for row in parsed] == [0, 999]
    first = {name: value.numpy() for name, value in parsed[0].items() if name != "box"}
    assert first == {
        "image/encoded": JPEG,
        "image/format": b"jpeg",
        "image/height": 256,
        "image/width": 341,
        "image/channels": 3,
        "image/class/label": 0,
        "image/class/text": b"tench, Tinca tinca",
        "image/filename": b"n01440764/tench.JPEG",
        "image/key/sha256": b"ab" * 32,
    }
    assert [tf.sparse.to_dense(row["box"]).numpy().tolist() for row in parsed] == [[0.25, 0.5], []]


@pytest.mark.tensorflow
def test_our_bytes_are_those_of_protobufs_deterministic_serialisation():
    tf = pytest.importorskip("tensorflow")
    encoded = encode(FULL)
    assert tf.train.Example.FromString(encoded).SerializeToString(deterministic=True) == encoded
