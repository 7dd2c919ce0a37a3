"""`--encode keep` and the other encodings from a folder to shards."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from packer.errors import SourceError
from packer.formats.registry import get_format
from packer.progress import SilentProgress
from packer.reading.dataset import open_dataset
from packer.reading.shard_file import iter_shard
from packer.verifying import verify
from tests.tools.datasets import FORMATS, SerialEngine, image_bytes, pack_small, write_images


def samples_of(dest: Path):
    dataset = open_dataset(str(dest))
    shards = [shard for split in dataset.manifest.splits.values() for shard in split.shards]
    container = get_format(dataset.manifest.format)
    return [
        container.decode_sample(record.payload, name=shard.key)
        for shard in shards
        for record in iter_shard(dataset.shard_file(shard))
    ]


@pytest.mark.parametrize("format_name", FORMATS)
def test_every_source_is_stored_as_it_is(tmp_path: Path, format_name) -> None:
    source = write_images(tmp_path / "source", 24)
    pack_small(source, tmp_path / "out", encode="keep", resize=None, format=format_name)

    packed = sorted(bytes(sample.encoded) for sample in samples_of(tmp_path / "out"))

    assert packed == sorted(path.read_bytes() for path in source.glob("*/*"))
    report = verify(str(tmp_path / "out"), SerialEngine(), SilentProgress(), decode=True)
    assert not report.faults


def test_shards_are_planned_by_listed_sizes(tmp_path: Path) -> None:
    """Most of the bytes are in a few items, and only some items are probed."""
    num_items, large = 100, (3, 40, 41, 77)
    for index in range(num_items):
        data = image_bytes(index) + bytes(1_500_000 if index in large else 20_000)
        (tmp_path / "source").mkdir(exist_ok=True)
        (tmp_path / "source" / f"{index}.jpg").write_bytes(data)

    result = pack_small(
        tmp_path / "source", tmp_path / "out", encode="keep", resize=None, gpus=1, shard_size="1MB", allow_fill=True
    )

    total = sum(path.stat().st_size for path in (tmp_path / "source").iterdir())
    assert len(result.manifest.splits["train"].shards) == math.ceil(total / 1e6)


def test_shards_of_kept_images_are_near_the_target(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    for index in range(60):
        (tmp_path / "source" / f"{index}.jpg").write_bytes(image_bytes(index) + bytes(40_000 + 5_000 * (index % 17)))

    result = pack_small(tmp_path / "source", tmp_path / "out", encode="keep", resize=None, gpus=1, shard_size="1MB")

    sizes = [shard.num_bytes for shard in result.manifest.splits["train"].shards]
    assert len(sizes) == 5
    assert sum(sizes) / len(sizes) == pytest.approx(1e6, rel=0.15)
    assert max(sizes) < 1_300_000


@pytest.mark.slow
def test_an_image_larger_than_a_shard_is_named_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    for index in range(3):
        (tmp_path / "source" / f"{index}.jpg").write_bytes(image_bytes(index))
    os.truncate(tmp_path / "source" / "1.jpg", 127_999_990)

    with pytest.raises(SourceError, match=r"1\.jpg: expected items that fit a shard of 128 MB, got 127,999,990 bytes"):
        pack_small(tmp_path / "source", tmp_path / "out", encode="keep", resize=None, gpus=1)

    assert not (tmp_path / "out").exists()
