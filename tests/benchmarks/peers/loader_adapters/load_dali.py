"""NVIDIA DALI on CPUs: the crop decoded alone, scaled by an antialiased triangle filter.

python load_dali.py DATASET     of TFRecord, with the indexes that shardpack packs beside it
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from epochs import BATCH_SIZE, IMAGE_PX, MIN_AREA, RATIOS, SHUFFLED, run_epochs
from nvidia.dali import fn, pipeline_def, types
from nvidia.dali import tfrecord as tfrec


@pipeline_def(batch_size=BATCH_SIZE, num_threads=2, device_id=None)
def batches(shards: list[str], indexes: list[str]) -> Any:
    features = {
        "image/encoded": tfrec.FixedLenFeature((), tfrec.string, ""),
        "image/class/label": tfrec.FixedLenFeature([1], tfrec.int64, -1),
    }
    records = fn.readers.tfrecord(
        path=shards, index_path=indexes, features=features, random_shuffle=True, initial_fill=SHUFFLED, name="records"
    )
    images = fn.decoders.image_random_crop(
        records["image/encoded"], device="cpu", random_area=[MIN_AREA, 1.0], random_aspect_ratio=list(RATIOS)
    )
    images = fn.resize(images, size=[IMAGE_PX, IMAGE_PX], interp_type=types.INTERP_TRIANGULAR, antialias=True)
    return fn.flip(images, horizontal=fn.random.coin_flip()), records["image/class/label"]


def main() -> None:
    dataset = Path(sys.argv[1])
    shards = sorted(map(str, dataset.glob("train/*.tfrecord")))
    pipeline = batches(shards, sorted(map(str, dataset.glob("meta/index/train/*.idx"))))
    pipeline.build()
    steps = pipeline.epoch_size("records") // BATCH_SIZE

    def epoch(_: int) -> Iterator[int]:
        for _ in range(steps):
            images, _ = pipeline.run()
            yield len(images)

    run_epochs(epoch)


if __name__ == "__main__":
    main()
