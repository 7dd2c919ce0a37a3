"""A small data set with something of everything that the report tells."""

from pathlib import Path

import pytest
from PIL import Image

from tests.tools.datasets import image_bytes, pack_small, write_images


@pytest.fixture(scope="session")
def odd_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 images of three classes, a rare class of one blank image, a cut file, and copies under two labels."""
    folder = tmp_path_factory.mktemp("report")
    source = write_images(folder / "photos", 40)
    copy = image_bytes(7777, width=64, height=48)
    (source / "c0/copy-a.jpg").write_bytes(copy)
    (source / "c1/<b>copy-b.jpg").write_bytes(copy)
    (source / "c2/cut.jpg").write_bytes(image_bytes(8888, width=400, height=300)[:-3000])
    (source / "rare").mkdir()
    Image.new("RGB", (50, 40), (9, 9, 9)).save(source / "rare/blank.png")
    pack_small(source, folder / "set", gpus=2, split="train=0.7,val=0.3", max_rejects=0.2, allow_fill=True)
    return folder / "set"
