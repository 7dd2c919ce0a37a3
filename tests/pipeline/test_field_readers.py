"""Fields as others read them: TensorFlow, MXNet's reader for detection, webdataset, Hugging Face datasets, DALI."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tests.tools.datasets import image_bytes, pack_small, read_manifest, read_records

PX = 24
NUM_IMAGES = 20


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    rows = []
    for number in range(NUM_IMAGES):
        (folder / f"{number:03}.jpg").write_bytes(image_bytes(number, width=64, height=48))
        mask = np.zeros((48, 64), np.uint8)
        mask[10:30, 20:40] = number + 1
        Image.fromarray(mask).save(folder / f"{number:03}-mask.png")
        boxes = [[8 + number, 4, 40, 30], [0, 0, 30, 44], [20, 20, 60, 40]][: number % 4]
        row = {"boxes": boxes, "classes": [number % 5, 2, 1][: len(boxes)], "text": f"picture {number}"}
        rows.append({"path": f"{number:03}.jpg", "label": number % 3, "mask": f"{number:03}-mask.png", **row})
    (folder / "list.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder / "list.jsonl"


def pack_as(source, dest, container):
    fields = ["object=boxes:boxes+classes", "mask=mask:mask", "caption=text:text"]
    fields = fields[::2] if container == "recordio" else fields
    pack_small(source, dest, format=container, field=fields, resize=f"{PX}x{PX}", gpus=2)
    shards = [shard.key for shard in read_manifest(dest).splits["train"].shards]
    return {key: read_records(dest, key) for key in shards}


def boxes_of(row):
    return np.array(row["object"]).reshape(-1, 4)


@pytest.mark.tensorflow
def test_tensorflow_reads_the_names_of_its_object_detection_api(source, tmp_path):
    tf = pytest.importorskip("tensorflow")
    names = ("ymin", "xmin", "ymax", "xmax")
    kinds = {f"image/object/bbox/{name}": tf.io.VarLenFeature(tf.float32) for name in names}
    kinds |= {"image/object/class/label": tf.io.VarLenFeature(tf.int64)}
    kinds |= {name: tf.io.FixedLenFeature([], tf.string) for name in ("image/mask/encoded", "caption")}
    for key, rows in pack_as(source, tmp_path / "data", "tfrecord").items():
        records = list(tf.data.TFRecordDataset(str(tmp_path / "data" / key)))
        assert len(records) == len(rows)
        for record, row in zip(records, rows, strict=True):
            found = tf.io.parse_single_example(record, kinds)
            corners = [tf.sparse.to_dense(found[f"image/object/bbox/{name}"]).numpy() for name in names]
            assert np.allclose(np.stack(corners, axis=1) * PX, boxes_of(row)[:, [1, 0, 3, 2]], atol=1e-4)
            assert tf.sparse.to_dense(found["image/object/class/label"]).numpy().tolist() == row["object_class"]
            assert found["caption"].numpy().decode() == row["caption"]
            assert tf.io.decode_png(found["image/mask/encoded"]).shape == (PX, PX, 1)


@pytest.mark.mxnet
def test_mxnets_reader_for_detection_gives_the_boxes(source, tmp_path):
    mxnet = pytest.importorskip("mxnet")
    for key, rows in pack_as(source, tmp_path / "data", "recordio").items():
        batches = mxnet.io.ImageDetRecordIter(
            path_imgrec=str(tmp_path / "data" / key),
            batch_size=1,
            data_shape=(3, PX, PX),
            label_pad_width=40,
            label_pad_value=-1.0,
            shuffle=False,
            preprocess_threads=1,
        )
        labels = [batch.label[0].asnumpy()[0] for batch in batches]
        assert len(labels) == len(rows)
        for label, row in zip(labels, rows, strict=True):
            channels, height, width, length, head, numbers = label[:6]
            assert (channels, height, width, head, numbers) == (3, PX, PX, 2, 5)
            found = label[6 : 4 + int(length)].reshape(-1, 5)
            found = found[found[:, 0] >= 0]
            assert found[:, 0].tolist() == row["object_class"]
            assert np.allclose(found[:, 1:] * PX, boxes_of(row), atol=1e-4)


def test_webdataset_gives_masks_and_fields(source, tmp_path):
    webdataset = pytest.importorskip("webdataset")
    for key, rows in pack_as(source, tmp_path / "data", "webdataset").items():
        dataset = webdataset.WebDataset(str(tmp_path / "data" / key), shardshuffle=False)
        samples = list(dataset)
        assert len(samples) == len(rows)
        for sample, row in zip(samples, rows, strict=True):
            fields = json.loads(sample["json"])
            assert fields["object"] == row["object"]
            assert fields["object_class"] == row["object_class"]
            assert Image.open(io.BytesIO(sample["mask.png"])).size == (PX, PX)
            assert int(sample["cls"]) == row["label"]


LOAD = """
import json, sys
import datasets
found = datasets.load_dataset("webdataset", data_files=sys.argv[1], split="train", cache_dir=sys.argv[2])
rows = [(s["json"]["object"], s["mask.png"].size, s["jpg"].size, int(s["cls"])) for s in found]
print(json.dumps(rows))
"""


@pytest.mark.readers
def test_hugging_faces_datasets_gives_masks_and_fields(source, tmp_path):
    """In a process of its own, since tests have a module of that name."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    for key, rows in pack_as(source, tmp_path / "data", "webdataset").items():
        command = [sys.executable, "-c", LOAD, str(tmp_path / "data" / key), str(tmp_path / "cache" / key)]
        run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        expected = [[row["object"], [PX, PX], [PX, PX], row["label"]] for row in rows]
        assert json.loads(run.stdout.splitlines()[-1]) == expected


@pytest.mark.readers
def test_dali_reads_masks_by_the_index(source, tmp_path):
    dali = pytest.importorskip("nvidia.dali")
    for key, rows in pack_as(source, tmp_path / "data", "webdataset").items():
        stem = key.removeprefix("train/").removesuffix(".tar")

        @dali.pipeline_def(batch_size=len(rows), num_threads=1, device_id=None)
        def read(key=key, stem=stem):
            outputs = dali.fn.readers.webdataset(
                paths=[str(tmp_path / "data" / key)],
                index_paths=[str(tmp_path / f"data/meta/index/train/{stem}.idx")],
                ext=["jpg", "mask.png", "cls"],
                missing_component_behavior="error",
            )
            return tuple(outputs)

        pipeline = read()
        pipeline.build()
        images, masks, classes = pipeline.run()
        assert [int(bytes(np.asarray(one))) for one in classes] == [row["label"] for row in rows]
        for index in range(len(rows)):
            assert Image.open(io.BytesIO(bytes(np.asarray(images[index])))).size == (PX, PX)
            assert Image.open(io.BytesIO(bytes(np.asarray(masks[index])))).size == (PX, PX)
