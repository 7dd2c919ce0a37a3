"""Derive a class-per-folder set of real photographs, the same one every time.

    python tests/tools/photographs.py DEST --wheels build/photographs --count 400

The originals are photographs that the wheels of scikit-image and scikit-learn carry; nothing of those packages is
installed or run. Each derived file is a seeded crop, turn, flip and change of light of one original, stored in one of
the ways in which photographs arrive in practice. File i depends on (seed, i, side) and on Pillow alone, so a smaller
count gives a prefix of a larger set.
"""

from __future__ import annotations

import argparse
import io
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageEnhance, ImageFilter

CLASSES = {
    "astronaut": ("skimage/data/astronaut.png",),
    "cat": ("skimage/data/chelsea.png",),
    "coffee": ("skimage/data/coffee.png",),
    "coins": ("skimage/data/coins.png",),
    "flower": ("sklearn/datasets/images/flower.jpg",),
    "galaxies": ("skimage/data/hubble_deep_field.jpg",),
    "motorcycle": ("skimage/data/motorcycle_left.png", "skimage/data/motorcycle_right.png"),
    "rocket": ("skimage/data/rocket.jpg",),
    "temple": ("sklearn/datasets/images/china.jpg",),
    "textures": ("skimage/data/brick.png", "skimage/data/grass.png", "skimage/data/gravel.png"),
}
EXIF_ORIENTATION = 0x0112
# How the stored pixels are turned, so that a reader who obeys the EXIF orientation sees the photograph upright.
STORED_TURN = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def load_originals(wheels: Path) -> dict[str, list[Image.Image]]:
    """Return the original photographs by class, as RGB. Raises FileNotFoundError when a wheel is missing."""
    archives = [zipfile.ZipFile(path) for path in sorted(wheels.glob("*.whl"))]
    holders = {name: archive for archive in archives for name in archive.namelist()}
    missing = sorted(name for names in CLASSES.values() for name in names if name not in holders)
    if missing:
        raise FileNotFoundError(f"{wheels}: expected wheels that hold {', '.join(missing)}; run `make photographs`")
    return {
        label: [Image.open(io.BytesIO(holders[name].read(name))).convert("RGB") for name in names]
        for label, names in CLASSES.items()
    }


def derive(original: Image.Image, rng: random.Random, side_px: int) -> Image.Image:
    """Return a turned, cropped, flipped and relit part of a photograph whose longer side is at most `side_px`."""
    turned = original.rotate(rng.uniform(-6, 6), Image.Resampling.BICUBIC)
    # A turn by 6 degrees leaves black corners outside the middle four fifths.
    width, height = turned.width * 4 // 5, turned.height * 4 // 5
    crop_width, crop_height = (int(full * rng.uniform(0.6, 1)) for full in (width, height))
    left = turned.width // 10 + rng.randint(0, width - crop_width)
    top = turned.height // 10 + rng.randint(0, height - crop_height)
    part = turned.crop((left, top, left + crop_width, top + crop_height))
    if rng.random() < 0.5:
        part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    scale = side_px * rng.uniform(0.7, 1) / max(part.size)
    part = part.resize((round(part.width * scale), round(part.height * scale)), Image.Resampling.LANCZOS)
    return ImageEnhance.Brightness(part).enhance(rng.uniform(0.8, 1.2))


def _jpeg(image: Image.Image, rng: random.Random) -> bytes:
    return _save(image, "JPEG", quality=rng.randint(85, 95), subsampling="4:2:0")


def _jpeg_progressive(image: Image.Image, rng: random.Random) -> bytes:
    return _save(image, "JPEG", quality=rng.randint(85, 95), subsampling="4:4:4", progressive=True)


def _jpeg_turned(image: Image.Image, rng: random.Random) -> bytes:
    orientation = rng.randint(2, 8)
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    return _save(image.transpose(STORED_TURN[orientation]), "JPEG", quality=90, exif=exif.tobytes())


def _jpeg_grey(image: Image.Image, rng: random.Random) -> bytes:
    return _save(image.convert("L"), "JPEG", quality=rng.randint(85, 95))


def _jpeg_cmyk(image: Image.Image, rng: random.Random) -> bytes:
    return _save(image.convert("CMYK"), "JPEG", quality=rng.randint(85, 95))


def _png(image: Image.Image, rng: random.Random) -> bytes:
    return _save(image, "PNG", compress_level=rng.randint(1, 6))


def _png_alpha(image: Image.Image, rng: random.Random) -> bytes:
    margin = min(image.size) // rng.randint(8, 12)
    mask = Image.new("L", image.size, 0)
    mask.paste(255, (margin, margin, image.width - margin, image.height - margin))
    image.putalpha(mask.filter(ImageFilter.GaussianBlur(margin / 2)))
    return _save(image, "PNG", compress_level=1)


def _png_palette(image: Image.Image, rng: random.Random) -> bytes:
    return _save(image.quantize(rng.randint(128, 255)), "PNG")


def _png_16_bit(image: Image.Image, rng: random.Random) -> bytes:
    wide = image.convert("L").convert("I").point(lambda value: value * 257)
    return _save(wide.convert("I;16"), "PNG", compress_level=rng.randint(1, 6))


def _webp(image: Image.Image, rng: random.Random) -> bytes:
    return _save(image, "WEBP", quality=rng.randint(80, 95))


Encoder = Callable[[Image.Image, random.Random], bytes]
# Mostly plain JPEG, as in life. 23 ways and 10 classes share no factor, so every class meets every way.
WAYS: tuple[tuple[str, Encoder], ...] = (
    *[(".jpg", _jpeg)] * 10,
    *[(".JPEG", _jpeg_progressive)] * 2,
    *[(".jpg", _jpeg_turned)] * 3,
    *[(".jpeg", _jpeg_grey)] * 1,
    *[(".jpg", _jpeg_cmyk)] * 1,
    *[(".png", _png)] * 2,
    *[(".png", _png_alpha)] * 1,
    *[(".png", _png_palette)] * 1,
    *[(".png", _png_16_bit)] * 1,
    *[(".webp", _webp)] * 1,
)


def _save(image: Image.Image, image_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def write_photographs(dest: Path, wheels: Path, *, count: int, side_px: int = 500, seed: int = 0) -> int:
    """Write `count` photographs to DEST/<class>/<number><suffix>, dealt evenly to the classes; return their bytes."""
    originals = load_originals(wheels)
    labels = tuple(CLASSES)
    num_bytes = 0
    for label in labels[:count]:
        (dest / label).mkdir(parents=True, exist_ok=True)
    for index in range(count):
        rng = random.Random(f"{seed}/{index}")
        label = labels[index % len(labels)]
        suffix, encode = WAYS[index % len(WAYS)]
        encoded = encode(derive(rng.choice(originals[label]), rng, side_px), rng)
        (dest / label / f"{index:05d}{suffix}").write_bytes(encoded)
        num_bytes += len(encoded)
    return num_bytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dest", type=Path)
    parser.add_argument("--wheels", type=Path, required=True, help="folder of the wheels that hold the originals")
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--side", type=int, default=500, help="longer side of the largest, in pixels")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    num_bytes = write_photographs(
        options.dest, options.wheels, count=options.count, side_px=options.side, seed=options.seed
    )
    print(f"{options.dest}: {options.count} photographs in {len(CLASSES)} classes, {num_bytes / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
