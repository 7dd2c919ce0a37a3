"""tf.data by hand: the crop decoded alone; scaled with or without antialiasing.

python load_tensorflow.py DATASET [antialias]     of TFRecord
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import tensorflow as tf
from epochs import BATCH_SIZE, IMAGE_PX, MIN_AREA, RATIOS, SHUFFLED, run_epochs


def main() -> None:
    dataset, *way = sys.argv[1:]
    antialias = "antialias" in way
    features = {
        "image/encoded": tf.io.FixedLenFeature([], tf.string),
        "image/class/label": tf.io.FixedLenFeature([], tf.int64),
    }

    def crop(record: Any) -> Any:
        parsed = tf.io.parse_single_example(record, features)
        encoded = parsed["image/encoded"]
        begin, size, _ = tf.image.sample_distorted_bounding_box(
            tf.io.extract_jpeg_shape(encoded),
            tf.constant([[[0.0, 0.0, 1.0, 1.0]]]),
            area_range=(MIN_AREA, 1.0),
            aspect_ratio_range=RATIOS,
            min_object_covered=0.0,
        )
        window = tf.stack([begin[0], begin[1], size[0], size[1]])
        pixels = tf.io.decode_and_crop_jpeg(encoded, window, channels=3)
        pixels = tf.image.resize(pixels, [IMAGE_PX, IMAGE_PX], antialias=antialias)
        return tf.cast(tf.image.random_flip_left_right(pixels), tf.uint8), parsed["image/class/label"]

    batches = (
        tf.data.TFRecordDataset(sorted(map(str, Path(dataset).glob("train/*.tfrecord"))))
        .shuffle(SHUFFLED)
        .map(crop, num_parallel_calls=2)
        .batch(BATCH_SIZE, drop_remainder=True)
        .prefetch(2)
    )
    run_epochs(lambda _: (len(images) for images, _ in batches))


if __name__ == "__main__":
    main()
