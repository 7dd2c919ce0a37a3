"""TensorFlow and MXNet read every record and label of what `pack` writes."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.tools.datasets import pack_small, read_manifest, read_records, write_images

NUM_IMAGES = 96
SIDE_PX = 24


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_images(tmp_path / "source", NUM_IMAGES)


def pack_as(source: Path, dest: Path, container: str) -> list[str]:
    """Pack two splits and return the keys of all shards."""
    size = f"{SIDE_PX}x{SIDE_PX}"
    pack_small(source, dest, format=container, split="train=0.75,val=0.25", resize=size, gpus=3)
    return [shard.key for split in read_manifest(dest).splits.values() for shard in split.shards]


def expected(dest: Path, key: str) -> list[tuple[str, int]]:
    return [(row["key"], row["label"]) for row in read_records(dest, key)]


@pytest.mark.tensorflow
def test_tensorflow(source: Path, tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    features = {
        name: tf.io.FixedLenFeature([], kind)
        for name, kind in {
            "image/encoded": tf.string,
            "image/format": tf.string,
            "image/height": tf.int64,
            "image/width": tf.int64,
            "image/channels": tf.int64,
            "image/class/label": tf.int64,
            "image/class/text": tf.string,
            "image/filename": tf.string,
            "image/key/sha256": tf.string,
        }.items()
    }
    for key in pack_as(source, tmp_path / "data", "tfrecord"):
        records = tf.data.TFRecordDataset(str(tmp_path / "data" / key))
        rows = [tf.io.parse_single_example(record, features) for record in records]
        found = [(row["image/filename"].numpy().decode(), int(row["image/class/label"])) for row in rows]
        assert found == expected(tmp_path / "data", key)
        for row in rows:
            shape = [int(row[f"image/{name}"]) for name in ("height", "width", "channels")]
            assert list(tf.io.decode_jpeg(row["image/encoded"]).shape) == shape == [SIDE_PX, SIDE_PX, 3]
            assert row["image/class/text"] == f"c{int(row['image/class/label'])}".encode()
            assert len(row["image/key/sha256"].numpy()) == 64


@pytest.mark.mxnet
def test_mxnet_indexed_recordio(source: Path, tmp_path: Path) -> None:
    recordio = pytest.importorskip("mxnet.recordio")
    for key in pack_as(source, tmp_path / "data", "recordio"):
        index = tmp_path / "data" / "meta" / "index" / Path(key).with_suffix(".idx")
        reader = recordio.MXIndexedRecordIO(str(index), str(tmp_path / "data" / key), "r")
        rows = expected(tmp_path / "data", key)
        assert reader.keys == list(range(len(rows)))
        for position in reversed(range(len(rows))):
            header, image = recordio.unpack(reader.read_idx(position))
            assert (header.id, header.label) == (position, rows[position][1])
            assert Image.open(io.BytesIO(image)).size == (SIDE_PX, SIDE_PX)


@pytest.mark.mxnet
def test_mxnet_image_record_iter(source: Path, tmp_path: Path) -> None:
    mx = pytest.importorskip("mxnet")
    for key in pack_as(source, tmp_path / "data", "recordio"):
        rows = expected(tmp_path / "data", key)
        batches = mx.io.ImageRecordIter(
            path_imgrec=str(tmp_path / "data" / key),
            path_imgidx=str(tmp_path / "data" / "meta" / "index" / Path(key).with_suffix(".idx")),
            data_shape=(3, SIDE_PX, SIDE_PX),
            batch_size=1,
            shuffle=False,
            preprocess_threads=1,
        )
        labels = [int(batch.label[0].asnumpy()[0]) for batch in batches]
        assert labels == [label for _, label in rows]


@pytest.mark.mxnet
def test_mxnet_reads_the_merged_index_over_joined_shards(source: Path, tmp_path: Path) -> None:
    """As NVIDIA DALI does: offsets into the shards of a split one after another."""
    recordio = pytest.importorskip("mxnet.recordio")
    keys = [key for key in pack_as(source, tmp_path / "data", "recordio") if key.startswith("train")]
    joined = tmp_path / "joined.rec"
    joined.write_bytes(b"".join((tmp_path / "data" / key).read_bytes() for key in keys))
    reader = recordio.MXIndexedRecordIO(str(tmp_path / "data/meta/index/train.idx"), str(joined), "r")
    labels = [int(recordio.unpack(reader.read_idx(number))[0].label) for number in reader.keys]
    assert labels == [label for key in keys for _, label in expected(tmp_path / "data", key)]
    assert np.unique(labels).tolist() == [0, 1, 2]
