"""SPDL: JPEG files decoded, cropped and scaled by FFmpeg, whose libraries it takes from the system.

python load_spdl.py FOLDER     of files
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import spdl.io
from epochs import BATCH_SIZE, IMAGE_PX, MIN_AREA, RATIOS, run_epochs
from spdl.pipeline import PipelineBuilder

_THREADS = 2


def draw(height: int, width: int) -> str:
    """Return the filters of FFmpeg for a random resized crop."""
    while True:
        area = height * width * random.uniform(MIN_AREA, 1)
        ratio = math.exp(random.uniform(*map(math.log, RATIOS)))
        rows, columns = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
        if 0 < rows <= height and 0 < columns <= width:
            top, left = random.randrange(height - rows + 1), random.randrange(width - columns + 1)
            crop = f"crop={columns}:{rows}:{left}:{top}:exact=1,scale={IMAGE_PX}:{IMAGE_PX}:flags=bilinear"
            return crop + (",hflip" if random.random() < 0.5 else "") + ",format=pix_fmts=rgb24"


def decode(path: str) -> Any:
    packets = spdl.io.demux_image(path)
    return spdl.io.decode_packets(packets, filter_desc=draw(packets.height, packets.width))


def to_batch(frames: list[Any]) -> Any:
    return spdl.io.to_numpy(spdl.io.convert_frames(frames))


def main() -> None:
    paths = sorted(map(str, Path(sys.argv[1]).rglob("*.jpg")))

    def epoch(index: int) -> Iterator[int]:
        random.Random(index).shuffle(paths)
        pipeline = (
            PipelineBuilder()
            .add_source(paths)
            .pipe(decode, concurrency=_THREADS)
            .aggregate(BATCH_SIZE, drop_last=True)
            .pipe(to_batch)
            .add_sink(3)
            .build(num_threads=_THREADS)
        )
        with pipeline.auto_stop():
            for images in pipeline:
                yield len(images)

    run_epochs(epoch)


if __name__ == "__main__":
    main()
