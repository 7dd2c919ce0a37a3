"""TensorFlow: tf.io.TFRecordWriter, and tf.data.TFRecordDataset iterated from Python. Both checksums are verified."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import tensorflow as tf
from interface import run


def write(dest: str, payloads: Sequence[bytes]) -> None:
    os.makedirs(dest, exist_ok=True)
    with tf.io.TFRecordWriter(os.path.join(dest, "data.tfrecord")) as writer:
        for payload in payloads:
            writer.write(payload)


def eager(dest: str) -> Iterator[int]:
    for record in tf.data.TFRecordDataset(os.path.join(dest, "data.tfrecord")):
        yield len(record.numpy())


def as_numpy(dest: str) -> Iterator[int]:
    for record in tf.data.TFRecordDataset(os.path.join(dest, "data.tfrecord")).as_numpy_iterator():
        yield len(record)


if __name__ == "__main__":
    run(write=write, read={"as_numpy_iterator": as_numpy, "eager tensors": eager})
