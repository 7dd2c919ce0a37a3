"""The demonstration's photographs: the same each time, and upright for who obeys EXIF."""

from __future__ import annotations

import random
from pathlib import Path

import photographs
import pytest
from PIL import Image, ImageChops, ImageOps, ImageStat


@pytest.mark.slow
def test_every_class_is_there_and_every_file_opens(photo_folder: Path) -> None:
    files = sorted(path for path in photo_folder.rglob("*") if path.is_file())
    assert {path.parent.name for path in files} == set(photographs.CLASSES)
    assert len(files) == 60
    for path in files:
        with Image.open(path) as image:
            image.load()
            assert max(image.size) <= 160


def test_a_turned_photograph_is_upright_once_its_orientation_is_applied(tmp_path: Path) -> None:
    upright = Image.linear_gradient("L").resize((96, 64)).convert("RGB")
    upright.paste((255, 0, 0), (0, 0, 24, 16))
    for seed in range(20):
        path = tmp_path / f"{seed}.jpg"
        path.write_bytes(photographs._jpeg_turned(upright, random.Random(seed)))
        seen = ImageOps.exif_transpose(Image.open(path))
        assert max(ImageStat.Stat(ImageChops.difference(seen, upright)).mean) < 8, seed


def test_missing_wheels_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"skimage/data/chelsea\.png"):
        photographs.load_originals(tmp_path)
