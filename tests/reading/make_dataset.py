"""Data sets for tests: real shards and a real manifest, without the packer."""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from packer.dataset.manifest import Manifest, PixelStatistics, ShardEntry, SplitEntry, encode_manifest
from packer.formats.container import Sample
from packer.formats.registry import get_format
from packer.planning.layout import MANIFEST_KEY, shard_key, shard_stem
from packer.specs import Encode, Fit, FormatName, ImageSpec

NO_DIGEST = "0" * 64
IMAGE = ImageSpec(width=32, height=32, fit=Fit.COVER, encode=Encode.JPEG, quality=95, max_pixels=10**6)

Shards = Sequence[Sequence[Sample]]


def make_samples(
    num_samples: int, *, num_classes: int | None = None, first: int = 0, side_px: int = 32
) -> list[Sample]:
    """Return JPEG samples of noise tinted by class; without `num_classes` each sample is a class of its own."""
    generator = random.Random(first)
    return [
        _make_sample(index, index % num_classes if num_classes else index, generator, side_px)
        for index in range(first, first + num_samples)
    ]


def _make_sample(index: int, label: int, generator: random.Random, side_px: int) -> Sample:
    noise = Image.frombytes("RGB", (side_px, side_px), generator.randbytes(3 * side_px * side_px))
    tint = Image.new("RGB", (side_px, side_px), ((label * 67) % 256, (label * 151 + 60) % 256, (label * 29 + 99) % 256))
    encoded = io.BytesIO()
    Image.blend(noise, tint, 0.7).save(encoded, "JPEG", quality=90)
    return Sample(
        key=f"{label}/{index:05d}.jpg",
        encoded=encoded.getvalue(),
        image_format="jpeg",
        height=side_px,
        width=side_px,
        channels=3,
        label=label,
        class_text=f"class {label}",
        source_sha256=hashlib.sha256(encoded.getvalue()).hexdigest(),
    )


def deal(samples: Sequence[Sample], num_shards: int) -> Shards:
    """Return the samples dealt round-robin over shards."""
    return [samples[index::num_shards] for index in range(num_shards)]


def make_dataset(
    root: Path,
    splits: Mapping[str, Shards],
    *,
    container: FormatName = FormatName.TFRECORD,
    world: int = 1,
    label_kind: str = "class",
) -> Manifest:
    """Write shards and a manifest that fits them below `root`."""
    labels = [s.label for shards in splits.values() for shard in shards for s in shard if isinstance(s.label, int)]
    manifest = Manifest(
        plan_id=NO_DIGEST,
        world=world,
        format=container,
        seed=0,
        target_bytes=10**6,
        stratify=False,
        image=IMAGE,
        encoder_sha256=NO_DIGEST,
        label_kind=label_kind,
        num_classes=max(labels, default=-1) + 1,
        splits={name: _write_split(root, name, shards, container) for name, shards in splits.items()},
        pixels=PixelStatistics(mean=(127.0, 127.0, 127.0), std=(50.0, 50.0, 50.0)),
        rejects={},
        num_duplicates=0,
    )
    (root / MANIFEST_KEY).write_bytes(encode_manifest(manifest))
    return manifest


def _write_split(root: Path, split: str, shards: Shards, container: FormatName) -> SplitEntry:
    entries = tuple(
        _write_shard(
            root, shard_key(split, shard_stem(split, index, len(shards)), get_format(container).suffix), samples
        )
        for index, samples in enumerate(shards)
    )
    num_records = sum(entry.num_records for entry in entries)
    return SplitEntry(num_records=num_records, num_fills=0, shards=entries, label_counts={})


def _write_shard(root: Path, key: str, samples: Sequence[Sample]) -> ShardEntry:
    container = next(found for found in map(get_format, FormatName) if key.endswith(found.suffix))
    writer = container.open_writer(key.partition("/")[0], 0)
    for position, sample in enumerate(samples):
        writer.add(sample, position)
    content = b"".join(writer.finish())
    path = root / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return ShardEntry(
        key=key,
        num_records=len(samples),
        num_fills=0,
        num_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        index_sha256=NO_DIGEST,
        records_sha256=NO_DIGEST,
    )
