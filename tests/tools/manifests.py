"""Manifests of data sets that exist nowhere, for what only reads the manifest."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from packer.dataset.manifest import Manifest, ShardEntry, SplitEntry, decode_manifest, encode_manifest
from packer.planning.layout import shard_key, shard_stem
from packer.specs import Encode, Fit, FormatName, ImageSpec

RECORDS_PER_SHARD = 10


def make_manifest(num_shards: Mapping[str, int], *, world: int = 1, container: str = "tfrecord") -> Manifest:
    """Return a sound manifest with these numbers of shards by split."""
    suffix = ".rec" if container == "recordio" else f".{container}"
    manifest = Manifest(
        plan_id="1" * 64,
        world=world,
        format=FormatName(container),
        seed=0,
        target_bytes=1_000_000,
        stratify=False,
        image=ImageSpec(width=24, height=24, fit=Fit.COVER, encode=Encode.JPEG, quality=95, max_pixels=10**8),
        encoder_sha256="2" * 64,
        label_kind="class",
        num_classes=1,
        splits={name: _split(name, count, suffix) for name, count in num_shards.items()},
        pixels=None,
        rejects={},
        num_duplicates=0,
    )
    data = encode_manifest(msgspec.structs.replace(manifest))
    return decode_manifest(data, name="manifest.json")


def _split(name: str, num_shards: int, suffix: str) -> SplitEntry:
    shards = tuple(
        ShardEntry(
            key=shard_key(name, shard_stem(name, index, num_shards), suffix),
            num_records=RECORDS_PER_SHARD,
            num_fills=0,
            num_bytes=1000,
            sha256="3" * 64,
            index_sha256="4" * 64,
            records_sha256="5" * 64,
        )
        for index in range(num_shards)
    )
    num_records = RECORDS_PER_SHARD * num_shards
    return SplitEntry(num_records=num_records, num_fills=0, shards=shards, label_counts={"0": num_records})
