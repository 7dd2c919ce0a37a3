import hashlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packer.errors import CorruptRecordError, OptionsError
from packer.formats.container import Sample
from packer.formats.irheader import MAX_CLASS_ID
from packer.formats.recordio import CONTAINER as RECORDIO

MAGIC = bytes.fromhex("0a23d7ce")
JPEG = b"\xff\xd8\xff\xe0" + bytes(range(100))


def sample(label, encoded=JPEG):
    return Sample(key="a.jpg", encoded=encoded, image_format="jpeg", label=label)


def encode(label, position=0, encoded=JPEG):
    return RECORDIO.encode_sample(sample(label, encoded), position=position)


@pytest.mark.parametrize(
    ("label", "header"),
    [
        (7, struct.pack("<IfQQ", 0, 7.0, 5, 0)),
        (MAX_CLASS_ID, struct.pack("<IfQQ", 0, 2.0**24, 5, 0)),
        (None, struct.pack("<IfQQ", 0, -1.0, 5, 0)),
        ((), struct.pack("<IfQQ", 0, -1.0, 5, 0)),
        ((0.5,), struct.pack("<IfQQf", 1, 0.0, 5, 0, 0.5)),
        ((1.0, -2.0, 3.5), struct.pack("<IfQQ3f", 3, 0.0, 5, 0, 1.0, -2.0, 3.5)),
    ],
)
def test_known_bytes(label, header):
    payload = encode(label, position=5)
    assert payload == header + JPEG
    decoded = RECORDIO.decode_sample(memoryview(payload))
    assert decoded == Sample(key="", encoded=JPEG, image_format="jpeg", label=label or (0 if label == 0 else None))


def test_golden_digest_of_a_framed_record():
    framed = b"".join(RECORDIO.frame(encode((1.0, 2.5), position=3, encoded=JPEG + MAGIC * 2 + b"tail!")))
    assert hashlib.sha256(framed).hexdigest() == "9ae2b0e5ee5d5f077748ef75b5827a8fc2eb77990fdf13cb49f87c93b35f7f84"


@given(
    st.none() | st.integers(0, MAX_CLASS_ID) | st.lists(st.floats(width=32, allow_nan=False), min_size=1).map(tuple),
    st.binary(max_size=50),
)
def test_round_trip(label, encoded):
    decoded = RECORDIO.decode_sample(encode(label, encoded=encoded))
    assert (decoded.label, decoded.encoded) == (label, encoded)
    assert type(decoded.label) is type(label)


@pytest.mark.parametrize("label", [MAX_CLASS_ID + 1, -1, 2**70])
def test_class_ids_beyond_float32_and_the_id_of_no_label_are_refused(label):
    with pytest.raises(OptionsError, match=f"a.jpg: class id {label} does not fit RecordIO"):
        encode(label)


@pytest.mark.parametrize("label", [(1e39,), ("x",)])
def test_label_values_beyond_float32_are_refused(label):
    with pytest.raises(OptionsError, match=r"a\.jpg: expected label values within float32"):
        encode(label)


def test_scalar_labels_that_are_no_class_id():
    def decode(label):
        return RECORDIO.decode_sample(struct.pack("<IfQQ", 0, label, 0, 0)).label

    assert decode(0.5) == (0.5,)
    assert decode(-2.0) == -2
    assert decode(float("inf")) == (float("inf"),)


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        (bytes(23), "expected an IRHeader of 24 bytes, got 23 bytes of payload"),
        (struct.pack("<IfQQ", 2, 0, 0, 0) + bytes(7), "expected 2 label values after the IRHeader, got 31 bytes"),
        (struct.pack("<IfQQ", 2**32 - 1, 0, 0, 0), "expected 4,294,967,295 label values after the IRHeader"),
    ],
)
def test_damage_is_described(payload, problem):
    with pytest.raises(CorruptRecordError, match=f"f: record 2 at byte 8: {problem}"):
        RECORDIO.decode_sample(payload, name="f", record_index=2, offset_bytes=8)


@pytest.mark.parametrize(
    ("encoded", "image_format"),
    [
        (JPEG, "jpeg"),
        (b"\x89PNG\r\n\x1a\n", "png"),
        (b"RIFF\1\2\3\4WEBPVP8 ", "webp"),
        (b"RIFF\1\2\3\4WAVE", ""),
        (b"GIF89a", "gif"),
        (b"II*\0", "tiff"),
        (b"BM", "bmp"),
        (b"", ""),
    ],
)
def test_image_format_is_found_in_the_bytes(encoded, image_format):
    assert RECORDIO.decode_sample(encode(1, encoded=encoded)).image_format == image_format


LABELS = [3, (1.0, 2.0, 3.5), (0.25,), MAX_CLASS_ID]
IMAGES = [JPEG, JPEG + MAGIC * 2 + b"tail!", b"AAAA" + MAGIC, JPEG]


@pytest.mark.mxnet
def test_mxnet_indexes_and_unpacks_our_shard(tmp_path):
    mx_recordio = pytest.importorskip("mxnet").recordio
    from packer.formats.index import format_mxnet_index

    payloads = [encode(label, i, image) for i, (label, image) in enumerate(zip(LABELS, IMAGES, strict=True))]
    data = b"".join(piece for payload in payloads for piece in RECORDIO.frame(payload))
    offsets = [record.offset_bytes for record in RECORDIO.iter_buffer(memoryview(data), name="f")]
    (tmp_path / "f.rec").write_bytes(data)
    (tmp_path / "f.idx").write_text(format_mxnet_index(offsets))
    reader = mx_recordio.MXIndexedRecordIO(str(tmp_path / "f.idx"), str(tmp_path / "f.rec"), "r")
    assert reader.keys == [0, 1, 2, 3]
    for position in (3, 1, 0, 2):
        header, image = mx_recordio.unpack(reader.read_idx(position))
        label = LABELS[position]
        assert image == IMAGES[position]
        assert header.id == position
        assert (tuple(header.label) if isinstance(label, tuple) else header.label) == label


@pytest.mark.mxnet
def test_we_read_what_mxnet_packs(tmp_path):
    mx_recordio = pytest.importorskip("mxnet").recordio
    from packer.formats.index import parse_mxnet_index

    writer = mx_recordio.MXIndexedRecordIO(str(tmp_path / "f.idx"), str(tmp_path / "f.rec"), "w")
    for position, (label, image) in enumerate(zip(LABELS, IMAGES, strict=True)):
        packed = mx_recordio.pack(mx_recordio.IRHeader(0, label, position, 0), image)
        assert packed == encode(label, position, image)
        writer.write_idx(position, packed)
    writer.close()
    records = list(RECORDIO.iter_buffer(memoryview((tmp_path / "f.rec").read_bytes()), name="f"))
    decoded = [RECORDIO.decode_sample(record.payload) for record in records]
    assert [one.label for one in decoded] == LABELS
    assert [one.encoded for one in decoded] == IMAGES
    index = parse_mxnet_index((tmp_path / "f.idx").read_text(), name="f.idx")
    assert list(index.offsets_bytes) == [record.offset_bytes for record in records]
