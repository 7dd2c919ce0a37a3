"""The photographs to pack: copies under plain names, so that every peer lists them in one order.

Where no folder is given for camera-like photographs, they are derived, seeded, from the photographs that the wheels of
scikit-image and scikit-learn carry. These are small, so a scene is a mosaic of mirrored crops, enlarged as little as
its size allows, with the noise of a sensor on top: about the detail and the bytes per pixel of a real camera's file.
"""

from __future__ import annotations

import io
import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tests.benchmarks.measure import list_photographs
from tests.tools.photographs import EXIF_ORIENTATION, STORED_TURN, load_originals, write_photographs

# 2 to 12 megapixels.
_SIZES = [(1920, 1080)] * 3 + [(2048, 1536)] * 2 + [(2592, 1944)] * 2 + [(3264, 2448), (3840, 2160), (4000, 3000)]
_TILE_PX = 1000
_TURNED = 6
"""The EXIF orientation of a camera held upright."""
_PHOTOGRAPHS_OF_JPEG = 1.5
"""Of `write_photographs`' files, 17 of 23 are JPEG."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    name: str
    folder: Path
    images: tuple[Path, ...]
    num_bytes: int

    @property
    def packed_bytes(self) -> int:
        """About what the images take when they are packed."""
        return 44_000 * len(self.images)


def copy_corpus(name: str, source: Path, dest: Path, *, count: int) -> Corpus:
    """Copy the first `count` photographs of a folder, in an order that has nothing to do with their names."""
    return _link(name, [(path, f"{index:06d}.jpg") for index, path in enumerate(_listed(source, count))], dest)


def part_of(corpus: Corpus, dest: Path, *, count: int) -> Corpus:
    """Return a corpus of every nth image of another one."""
    step = max(1, len(corpus.images) // count)
    return _link(corpus.name, [(path, path.name) for path in corpus.images[::step][:count]], dest)


def derive_photographs(dest: Path, wheels: Path, *, count: int) -> Path:
    """Derive a folder that holds at least `count` JPEG photographs of everyday size, once."""
    if not dest.exists():
        write_photographs(dest, wheels, count=int(count * _PHOTOGRAPHS_OF_JPEG))
    return dest


def derive_camera_images(dest: Path, wheels: Path, *, count: int, seed: int = 0) -> Path:
    """Derive camera-like JPEG files 0 to `count`, leaving those that are there; file i depends on (seed, i) alone."""
    dest.mkdir(parents=True, exist_ok=True)
    missing = [index for index in range(count) if not (dest / f"{index:05d}.jpg").exists()]
    originals = [image for images in load_originals(wheels).values() for image in images] if missing else []
    for index in missing:
        rng = random.Random(f"{seed}/{index}")
        (dest / f"{index:05d}.jpg").write_bytes(_shoot(originals, rng))
    return dest


def _shoot(originals: Sequence[Image.Image], rng: random.Random) -> bytes:
    size = rng.choice(_SIZES)
    scene = Image.new("RGB", size)
    for left in range(0, size[0], _TILE_PX):
        for top in range(0, size[1], _TILE_PX):
            scene.paste(_tile(rng.choice(originals), rng), (left, top))
    noisy = _add_noise(scene, rng)
    orientation = _TURNED if rng.random() < 0.2 else 1
    stored = noisy.transpose(STORED_TURN[orientation]) if orientation > 1 else noisy
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    file = io.BytesIO()
    subsampling = "4:2:0" if rng.random() < 0.7 else "4:2:2"
    stored.save(file, "JPEG", quality=rng.randint(88, 95), subsampling=subsampling, exif=exif.tobytes())
    return file.getvalue()


def _tile(original: Image.Image, rng: random.Random) -> Image.Image:
    """Return a square crop, enlarged to a tile and mirrored by chance."""
    side = int(min(original.size) * rng.uniform(0.8, 1))
    left, top = rng.randint(0, original.width - side), rng.randint(0, original.height - side)
    box = (left, top, left + side, top + side)
    tile = original.resize((_TILE_PX, _TILE_PX), Image.Resampling.LANCZOS, box=box)
    return tile.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else tile


def _add_noise(scene: Image.Image, rng: random.Random) -> Image.Image:
    noise = np.random.default_rng(rng.getrandbits(32)).normal(0, rng.uniform(1, 3), (scene.height, scene.width, 1))
    pixels = np.asarray(scene, dtype=np.float32) + noise.astype(np.float32)
    return Image.fromarray(np.clip(pixels, 0, 255).round().astype(np.uint8))


def _listed(source: Path, count: int) -> list[Path]:
    return list_photographs(str(source))[:count]


def _link(name: str, named: Sequence[tuple[Path, str]], dest: Path) -> Corpus:
    dest.mkdir(parents=True)
    for path, new_name in named:
        shutil.copyfile(path, dest / new_name)
    images = tuple(sorted(dest.iterdir()))
    return Corpus(name=name, folder=dest, images=images, num_bytes=sum(path.stat().st_size for path in images))
