"""mx.io.ImageRecordIter, which aliases:  python load_mxnet.py DATASET     of RecordIO, as one shard"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import mxnet
from epochs import BATCH_SIZE, IMAGE_PX, MIN_AREA, RATIOS, run_epochs


def main() -> None:
    (file,) = Path(sys.argv[1]).glob("train/*.rec")
    batches = mxnet.io.ImageRecordIter(
        path_imgrec=str(file),
        data_shape=(3, IMAGE_PX, IMAGE_PX),
        batch_size=BATCH_SIZE,
        random_resized_crop=True,
        min_random_area=MIN_AREA,
        max_random_area=1.0,
        min_aspect_ratio=RATIOS[0],
        max_aspect_ratio=RATIOS[1],
        rand_mirror=True,
        shuffle=True,
        dtype="uint8",
        preprocess_threads=2,
        round_batch=False,
    )

    def epoch(_: int) -> Iterator[int]:
        batches.reset()
        for batch in batches:
            batch.data[0].wait_to_read()
            yield BATCH_SIZE - batch.pad

    run_epochs(epoch)


if __name__ == "__main__":
    main()
