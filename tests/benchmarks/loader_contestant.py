"""One way to load batches, as a process that runs an epoch each time a line comes in; see `loader_cost`.

    python tests/benchmarks/loader_contestant.py NAME DATASET

The packer that is imported decides which version is measured; `before-N` needs one that has
`packer.reading.torch_data`.
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).with_name("peers") / "loader_adapters"))
from epochs import BATCH_SIZE, IMAGE_PX, MIN_AREA, Epoch, run_epochs


def main() -> None:
    name, dataset = sys.argv[1:]
    kind, _, number = name.partition("-")
    ways: dict[str, Callable[[str, str], Epoch]] = {
        "floor": _floor,
        "loader": partial(_loader, "region-1"),
        "whole": partial(_loader, "whole-1"),  # imported from a packer without the compiled part
        "before": _before,
    }
    run_epochs(ways[kind](dataset, number))


def _floor(dataset: str, what: str) -> Epoch:
    """The codecs alone on one thread: bytes in memory, windows drawn before, buffers used again.

    `what` is empty for pictures decoded whole, `region` for their windows alone, by the compiled part.
    """
    import simplejpeg
    from cykooz_resizer import CropBox, FilterType, ImageData, PixelType, ResizeAlg, ResizeOptions, Resizer

    pictures = [(data, *_draw(data)) for data in _pictures(dataset)]
    decoded = np.empty(4096 * 4096 * 3, np.uint8)
    resizer, scaled = Resizer(), ImageData(IMAGE_PX, IMAGE_PX, PixelType.U8x3)
    triangle = ResizeAlg.convolution(FilterType.bilinear)
    out = np.empty((BATCH_SIZE, IMAGE_PX, IMAGE_PX, 3), np.uint8)

    def decode_whole(data: bytes, top: int, left: int, rows: int, columns: int) -> Any:
        return simplejpeg.decode_jpeg(data, "RGB", buffer=decoded)[top : top + rows, left : left + columns]

    decode = _region_decoder() if what == "region" else decode_whole

    def epoch(_: int) -> Iterator[int]:
        for first in range(0, len(pictures) // BATCH_SIZE * BATCH_SIZE, BATCH_SIZE):
            for index, (data, top, left, rows, columns) in enumerate(pictures[first : first + BATCH_SIZE]):
                pixels = decode(data, top, left, rows, columns)
                source = ImageData(columns, rows, PixelType.U8x3, pixels.tobytes())
                resizer.resize(source, scaled, ResizeOptions(triangle, crop_box=CropBox(0, 0, columns, rows)))
                out[index].reshape(-1)[:] = np.frombuffer(scaled.get_buffer(), np.uint8)
            yield BATCH_SIZE

    return epoch


def _region_decoder() -> Callable[[bytes, int, int, int, int], Any]:
    from packer.loading.crop_decoder import CropWindow
    from packer.loading.jpeg_region import JpegRegions, load_library

    library = load_library()
    if library is None:
        sys.exit("the compiled part was not made: run `make crop-decoder`")
    regions = JpegRegions(library)

    def decode(data: bytes, top: int, left: int, rows: int, columns: int) -> Any:
        region = regions.decode(data, CropWindow(top, left, rows, columns), shrink_by=1)
        top, left = top - region.top, left - region.left
        return region.pixels[top : top + rows, left : left + columns]

    return decode


def _draw(data: bytes) -> tuple[int, int, int, int]:
    """Return top, left, rows and columns of a window as a random resized crop draws it."""
    import simplejpeg

    height, width, _, _ = simplejpeg.decode_jpeg_header(data)
    chance = random.Random(len(data))
    while True:
        area = height * width * chance.uniform(MIN_AREA, 1)
        ratio = math.exp(chance.uniform(math.log(3 / 4), math.log(4 / 3)))
        rows, columns = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
        if 0 < rows <= height and 0 < columns <= width:
            return chance.randrange(height - rows + 1), chance.randrange(width - columns + 1), rows, columns


def _pictures(dataset: str) -> list[bytes]:
    from packer.reading.dataset import open_dataset
    from packer.reading.records import ReadSpec, iter_samples

    return [sample.encoded for sample in iter_samples(open_dataset(dataset), "train", ReadSpec(shuffle_records=0))]


def _loader(decoder_id: str, dataset: str, what: str) -> Epoch:
    """`packer.Loader`; `what` is where the batches are made and by how many threads, such as process2."""
    import packer

    loader = packer.Loader(
        dataset,
        "train",
        batch_size=BATCH_SIZE,
        image_px=IMAGE_PX,
        min_area=MIN_AREA,
        where=what.rstrip("0123456789"),
        threads=int(what.lstrip("abcdefghijklmnopqrstuvwxyz")),
    )
    if loader.decoder_id != decoder_id:
        sys.exit(f"expected the decoder {decoder_id}, found {loader.decoder_id}; `make crop-decoder` compiles region-1")
    batches = iter(loader)

    def epoch(_: int) -> Iterator[int]:
        for _ in range(loader.steps):
            yield len(next(batches).images)

    return epoch


def _before(dataset: str, num_workers: str) -> Epoch:
    """The loader of before, in PyTorch's DataLoader."""
    import torch
    from packer.reading.spec import BatchSpec, ReadSpec
    from packer.reading.torch_data import BatchLoader

    from packer.reading.dataset import open_dataset

    torch.set_num_threads(1)
    batch = BatchSpec(batch_size=BATCH_SIZE, image_px=IMAGE_PX, min_area=MIN_AREA)
    loader = BatchLoader(partial(open_dataset, dataset), "train", ReadSpec(), batch, num_workers=int(num_workers))
    return lambda index: (len(images) for images, *_ in loader.epoch(index))


if __name__ == "__main__":
    main()
