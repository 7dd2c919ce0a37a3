"""The least that packing photographs can cost with these libraries: one thread, one loop, nothing else.

    python -m tests.benchmarks.codec_floor PROCESSES PASSES FILE...

Each file is decoded (shrunk by the decoder to no less than twice the target), resampled, converted to sRGB where its
profile changes a colour, counted (histogram), hashed (SHA-256 of the file) and encoded, with the settings of
`shardpack pack`. Prints CPU milliseconds per image for each of these steps as JSON. The files are read, and the
transforms of their profiles built, before the clock starts. Several processes do this side by side, each all of it, and
the mean over them is printed: what it exceeds one process by is what the machine's cores cost each other.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import mean

from cykooz_resizer import CropBox, FilterType, ResizeAlg, ResizeOptions, Resizer
from PIL import Image, ImageCms

from packer.imaging.colour import is_srgb

SHORT_SIDE_PX = 256
_WARM_UP = 20
_LANCZOS = ResizeAlg.convolution(FilterType.lanczos3)


class _Clock:
    """CPU time of this thread, booked step by step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.thread_time()

    def start(self) -> None:
        self._last = time.thread_time()

    def book(self, step: str) -> None:
        """Add the time since the last call to a step."""
        now = time.thread_time()
        self.seconds[step] = self.seconds.get(step, 0.0) + now - self._last
        self._last = now


def decode(data: bytes) -> tuple[Image.Image, ResizeOptions, tuple[int, int]]:
    """Return pixels, which part of them to resample, and the size to resample it to."""
    image = Image.open(io.BytesIO(data))
    width, height = image.size
    scale = SHORT_SIDE_PX / min(width, height)
    target = max(1, round(width * scale)), max(1, round(height * scale))
    drafted = image.draft("RGB", (2 * target[0], 2 * target[1]))
    image.load()
    options = ResizeOptions(_LANCZOS, crop_box=CropBox(*drafted[1]) if drafted else None)
    return image, options, target


def resample(pixels: Image.Image, options: ResizeOptions, target: tuple[int, int]) -> Image.Image:
    resized = Image.new(pixels.mode, target, None)
    Resizer().resize_pil(pixels, resized, options)
    return resized


def encode(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=95, subsampling="4:2:0")
    return file.getvalue()


def build_transforms(sources: list[bytes]) -> dict[bytes, ImageCms.ImageCmsTransform]:
    """Return the transforms of RGB images' profiles that change a colour."""
    transforms: dict[bytes, ImageCms.ImageCmsTransform] = {}
    for data in sources:
        image = Image.open(io.BytesIO(data))
        profile: bytes | None = image.info.get("icc_profile")
        if image.mode == "RGB" and profile is not None and profile not in transforms and not is_srgb(profile, "RGB"):
            transforms[profile] = ImageCms.buildTransform(
                ImageCms.ImageCmsProfile(io.BytesIO(profile)),
                ImageCms.createProfile("sRGB"),
                "RGB",
                "RGB",
                ImageCms.Intent.RELATIVE_COLORIMETRIC,
                ImageCms.Flags.BLACKPOINTCOMPENSATION,
            )
    return transforms


def pack(data: bytes, transforms: dict[bytes, ImageCms.ImageCmsTransform], clock: _Clock) -> None:
    """Do once what has to be done with an image."""
    clock.start()
    pixels, options, target = decode(data)
    clock.book("decode")
    image = resample(pixels, options, target)
    clock.book("resample")
    transform = transforms.get(pixels.info.get("icc_profile", b"")) if image.mode == "RGB" else None
    if transform is not None:
        image = transform.apply(image)
        image.info.clear()
    elif image.mode != "RGB":
        image = image.convert("RGB")
    clock.book("colour")
    image.histogram()
    clock.book("histogram")
    hashlib.sha256(data).hexdigest()
    clock.book("hash")
    encode(image)
    clock.book("encode")


def measure(num_passes: int, names: Sequence[str]) -> dict[str, float]:
    """Return CPU milliseconds per image, by step."""
    sources = [Path(name).read_bytes() for name in names]
    transforms = build_transforms(sources)
    for data in sources[:_WARM_UP]:
        pack(data, transforms, _Clock())
    clock = _Clock()
    for _ in range(num_passes):
        for data in sources:
            pack(data, transforms, clock)
    return {step: 1000 * seconds / len(sources) / num_passes for step, seconds in clock.seconds.items()}


def main() -> None:
    num_processes, num_passes, names = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    with ProcessPoolExecutor(num_processes) as pool:
        started = [pool.submit(measure, num_passes, names) for _ in range(num_processes)]
        found = [steps.result() for steps in started]
    print(json.dumps({step: mean(steps[step] for steps in found) for step in found[0]}))


if __name__ == "__main__":
    main()
