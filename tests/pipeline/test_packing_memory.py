"""A worker's memory is bounded by its shard: 250 MB and twice the shard, with images up to 25 megapixels."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from packer.dataset.destination import claim_destination
from packer.engines.local_engine import LocalEngine
from packer.packing.shard import PackContext
from packer.prepare import make_plan
from packer.stores.local_store import LocalStore
from tests.imaging.images import noise
from tests.pipeline.memory_task import pack_and_measure
from tests.tools.datasets import make_options, serial_run, write_images

pytestmark = pytest.mark.slow

SIDE_PX = 5000
MAX_FIXED_BYTES = 250_000_000


@pytest.fixture(scope="module")
def large_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four copies each of a JPEG and a PNG of 25 megapixels, and an interlaced PNG, in one class."""
    folder = tmp_path_factory.mktemp("large") / "c"
    folder.mkdir()
    grey = noise(SIDE_PX // 20, SIDE_PX // 20, 64).resize((SIDE_PX, SIDE_PX))
    image = Image.merge("RGB", (grey, grey.transpose(Image.Transpose.ROTATE_90), grey))
    image.save(folder / "0.jpg", quality=95)
    image.save(folder / "0.png", compress_level=1)
    for index in range(1, 4):
        for suffix in ("jpg", "png"):
            shutil.copy(folder / f"0.{suffix}", folder / f"{index}.{suffix}")
    return folder.parent


def measure(source: Path, dest: Path, **options: object) -> tuple[int, int]:
    """Pack the only shard in a worker; return its size and the worker's peak, in bytes."""
    asked = make_options(source, dest, gpus=1, **options)
    with LocalEngine(1) as engine:
        plan, document = make_plan(replace(serial_run(asked), engine=engine))
    claim_destination(LocalStore(dest), plan, document, overwrite=False)
    context = PackContext(
        plan=document,
        dest=str(dest),
        fail_on_reject=True,
        resume=False,
    )
    with LocalEngine(1) as engine:
        ((num_bytes, peak_bytes),) = engine.run(pack_and_measure, context, [0], lambda items, size: None)
    return num_bytes, peak_bytes


@pytest.mark.slow
def test_images_of_25_megapixels(large_images: Path, tmp_path: Path) -> None:
    num_bytes, peak_bytes = measure(large_images, tmp_path / "out", resize=256)
    assert peak_bytes < MAX_FIXED_BYTES + 2 * num_bytes, f"{peak_bytes:,} bytes for a shard of {num_bytes:,}"


@pytest.mark.slow
def test_a_large_shard(tmp_path: Path) -> None:
    """What a shard adds to a worker's memory is less than twice its size."""
    source = write_images(tmp_path / "source", 8, num_classes=1)
    for path in list(source.glob("*/*")):
        with Image.open(path) as image:
            grey = noise(1200, 1200, 90)
            Image.merge("RGB", (grey, grey, grey)).save(path.with_suffix(".big.jpg"), quality=95)
            assert image.width < 1200
        path.unlink()
        for copy in range(15):
            shutil.copy(path.with_suffix(".big.jpg"), path.with_suffix(f".{copy}.jpg"))
    num_bytes, peak_bytes = measure(source, tmp_path / "out", resize=1000, shard_size="128MB")
    assert num_bytes > 50_000_000
    assert peak_bytes < MAX_FIXED_BYTES + 2 * num_bytes, f"{peak_bytes:,} bytes for a shard of {num_bytes:,}"
