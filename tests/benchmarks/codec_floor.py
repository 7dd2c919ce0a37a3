"""The least that packing photographs can cost with these libraries: one thread, one loop, nothing else.

    python -m tests.benchmarks.codec_floor FILE...

Decode (shrunk by the decoder to no less than twice the target), resample, encode; the same with the hash and the
histogram that a data set needs. Prints CPU milliseconds per image as JSON. The files are read beforehand.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
from pathlib import Path

from cykooz_resizer import FilterType, ResizeAlg, ResizeOptions, Resizer
from PIL import Image

from tests.benchmarks.measure import cpu_seconds

SHORT_SIDE_PX = 256
_WARM_UP = 20


def shrink(data: bytes) -> Image.Image:
    """Decode and resample."""
    image = Image.open(io.BytesIO(data))
    width, height = image.size
    target = tuple(max(1, round(side * SHORT_SIDE_PX / min(width, height))) for side in (width, height))
    drafted = image.draft("RGB", (2 * target[0], 2 * target[1]))
    image.load()
    pixels = image if image.mode == "RGB" else image.convert("RGB")
    resized = Image.new("RGB", target, None)
    crop = drafted[1] if drafted else None
    options = ResizeOptions(ResizeAlg.convolution(FilterType.lanczos3), crop_box=_box(crop) if crop else None)
    Resizer().resize_pil(pixels, resized, options)
    return resized


def _box(extent: tuple[float, ...]) -> object:
    from cykooz_resizer import CropBox

    return CropBox(*extent)


def encode(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=95, subsampling="4:2:0")
    return file.getvalue()


def main() -> None:
    sources = [Path(name).read_bytes() for name in sys.argv[1:]]
    images = [shrink(data) for data in sources[:_WARM_UP]]

    def codecs() -> None:
        for data in sources:
            encode(shrink(data))

    def codecs_and_counts() -> None:
        for data in sources:
            image = shrink(data)
            hashlib.sha256(data).hexdigest()
            image.histogram()
            encode(image)

    for image in images:
        encode(image)
    costs = {"codecs": cpu_seconds(codecs), "codecs_and_counts": cpu_seconds(codecs_and_counts)}
    print(json.dumps({name: 1000 * cost / len(sources) for name, cost in costs.items()}))


if __name__ == "__main__":
    main()
