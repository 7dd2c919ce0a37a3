"""How near the packed pixels, before they are encoded, come to the best that could be made of a photograph.

    python -m tests.benchmarks.psnr [FOLDER] [--json FILE]

The reference decodes in full and resamples with Pillow's Lanczos in floating point, channel by channel. It leaves out
colour profiles and orientation, so photographs that have one that matters are counted and passed over.
"""

from __future__ import annotations

import io
import math
from pathlib import Path
from unittest import mock

import numpy as np
from PIL import Image

import packer.imaging.transform as transform
from packer.imaging.colour import to_srgb
from packer.imaging.encoding import Encoder, encoder_of
from packer.imaging.orientation import UPRIGHT, find_orientation
from packer.options import parse_options
from packer.specs import ImageSpec
from tests.benchmarks.measure import add_photographs, create_parser, list_photographs, median, report

_TARGET_DB = 50


def psnr_db(pixels: Image.Image, reference: np.ndarray) -> float:
    """Return 10 log10(255^2 / mean squared difference); infinite where there is none."""
    error = float(np.mean((np.asarray(pixels, dtype=np.float64) - reference) ** 2))
    return 10 * math.log10(255**2 / error) if error else math.inf


def reference_pixels(image: Image.Image, size: tuple[int, int]) -> np.ndarray:
    """Return float RGB pixels in [0, 255]: the whole image, resampled without any rounding on the way."""
    planes = [band.convert("F").resize(size, Image.Resampling.LANCZOS) for band in image.convert("RGB").split()]
    return np.clip(np.stack([np.asarray(plane, dtype=np.float64) for plane in planes], axis=-1), 0, 255)


def packed_pixels(data: bytes, spec: ImageSpec) -> Image.Image:
    """Return what `transform_image` hands to its encoder."""
    caught: list[Image.Image] = []

    def catch(image: Image.Image, _: ImageSpec) -> bytes:
        caught.append(image)
        return b""

    real = encoder_of(spec)
    catcher = Encoder(image_format=real.image_format, max_side_px=real.max_side_px, encode=catch)
    with mock.patch.object(transform, "encoder_of", return_value=catcher):
        transform.transform_image(data, spec)
    return caught[0]


def _is_plain(image: Image.Image) -> bool:
    """Say that neither orientation nor a colour profile changes anything."""
    profile = image.info.get("icc_profile")
    is_srgb = image.mode != "CMYK" and to_srgb(sample := image.resize((64, 64)), profile) is sample
    return is_srgb and find_orientation(image.info.get("exif"), image.info.get("xmp")) == UPRIGHT


def main() -> None:
    parser = create_parser("PSNR before encoding against full decoding and float Lanczos")
    add_photographs(parser)
    parser.add_argument("--resize", default="256", metavar="N|WxH", help="as for pack, fitted by its short side")
    given = parser.parse_args()
    paths = list_photographs(given.photographs)
    spec = parse_options({"source": "in", "dest": "out", "resize": given.resize}).image_spec()
    found: dict[str, float] = {}
    for path in paths:
        data = Path(path).read_bytes()
        image = Image.open(io.BytesIO(data))
        if _is_plain(image):
            pixels = packed_pixels(data, spec)
            found[path.name] = psnr_db(pixels, reference_pixels(image, pixels.size))
    ranked = sorted(found.values())
    worst = min(found, key=lambda name: found[name])
    num_below = sum(value < _TARGET_DB for value in ranked)
    figures = {
        "num_images": len(ranked),
        "num_passed_over": len(paths) - len(ranked),
        "min_db": ranked[0],
        "percentile_1_db": ranked[len(ranked) // 100],
        "median_db": median(ranked),
        "num_below_50_db": num_below,
        "worst": worst,
    }
    rows = [
        ("photographs", str(len(ranked)), f"{len(paths) - len(ranked)} with another profile or turned passed over"),
        ("least", f"{ranked[0]:.1f} dB", worst),
        ("1 % quantile", f"{figures['percentile_1_db']:.1f} dB", ""),
        ("median", f"{figures['median_db']:.1f} dB", ""),
        (f"below {_TARGET_DB} dB", str(num_below), ""),
    ]
    report("psnr", rows, figures, given.json)


if __name__ == "__main__":
    main()
