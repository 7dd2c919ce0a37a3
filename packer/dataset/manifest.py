"""`manifest.json`: what a packed data set is, as one value.

It holds only what the inputs and options determine (no time, host, ETag or absolute path), so the same data set has the
same manifest whoever packed it. Paths in it are relative to the manifest. It is written last: a folder without one
holds no data set.
"""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
from msgspec import Meta

from packer.dataset.document import Place, decode_versioned, encode_signed, lowest_version
from packer.errors import DataSetError
from packer.formats.registry import get_format
from packer.planning.layout import shard_key, shard_stem
from packer.specs import SPLIT_NAME, FieldSpec, FormatName, ImageSpec, is_training_split

MANIFEST_VERSION = 2
"""The highest version of this document that can be read."""

Sha256Hex = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="sha256 as 64 hex digits")]
Count = Annotated[int, Meta(ge=0)]


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every part of a JSON document: immutable, named fields, nothing unknown."""


class ShardEntry(_Document, frozen=True, kw_only=True):
    """One shard file."""

    key: Annotated[str, Meta(description="path relative to the manifest, such as train/train-00000-of-00032.tfrecord")]
    num_records: Annotated[int, Meta(ge=0, description="records in the file, fills included")]
    num_fills: Annotated[int, Meta(ge=0, description="records that repeat another record of this shard")]
    num_bytes: Annotated[int, Meta(ge=0, description="size of the file")]
    sha256: Annotated[Sha256Hex, Meta(description="digest of the file")]
    index_sha256: Annotated[Sha256Hex, Meta(description="digest of its index, meta/index/<split>/<shard>.idx")]
    records_sha256: Annotated[Sha256Hex, Meta(description="digest of the rows of meta/records/<split>/<shard>.parquet")]


class SplitEntry(_Document, frozen=True, kw_only=True):
    """One split."""

    num_records: Annotated[int, Meta(ge=0, description="records in all shards, fills included")]
    num_fills: Annotated[int, Meta(ge=0, description="records that repeat another one")]
    shards: tuple[ShardEntry, ...]
    label_counts: Annotated[dict[str, Count], Meta(description="items per class id, fills not counted")]


class PixelStatistics(_Document, frozen=True, kw_only=True):
    """Mean and standard deviation per channel (R, G, B), in units of 0-255, over every packed item once."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


class Manifest(_Document, frozen=True, kw_only=True):
    """The data set's entry point."""

    version: Annotated[int, Meta(description="version of this document's shape")] = 1
    plan_id: Annotated[Sha256Hex, Meta(description="digest of the plan that the shards were packed by")]
    world: Annotated[int, Meta(ge=1, description="ranks that the shards were cut for")]
    format: FormatName
    seed: int
    target_bytes: Annotated[int, Meta(ge=1, description="wanted size of a shard")]
    stratify: bool
    image: ImageSpec
    encoder_sha256: Annotated[Sha256Hex, Meta(description="fingerprint of the encoder: equal ones give equal bytes")]
    label_kind: Annotated[str, Meta(description="none, class or floats")]
    num_classes: Annotated[int, Meta(ge=0, description="highest class id plus 1; 0 without classes")]
    splits: dict[str, SplitEntry]
    pixels: PixelStatistics | None
    rejects: Annotated[dict[str, Count], Meta(description="items that could not be packed, by reason")]
    num_duplicates: Annotated[int, Meta(ge=0, description="packed items whose bytes an item before them has too")]
    fields: Annotated[
        tuple[FieldSpec, ...] | msgspec.UnsetType,
        Meta(description="fields beside the label that every record has", extra={"since": 2}),
    ] = msgspec.UNSET
    digest: Annotated[str, Meta(description="sha256 of this document with the digest empty")] = ""

    @property
    def declared(self) -> tuple[FieldSpec, ...]:
        """The fields, none where they are not set."""
        return self.fields or ()

    def split(self, name: str) -> SplitEntry:
        """Return a split. Raises DataSetError naming the ones there are."""
        if name not in self.splits:
            raise DataSetError(
                f"split {name!r} is not in the data set; expected one of {', '.join(sorted(self.splits))}"
            )
        return self.splits[name]


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the document's bytes: sorted keys, two spaces of indent, its own version and digest filled in."""
    return encode_signed(msgspec.structs.replace(manifest, version=lowest_version(manifest)))


def decode_manifest(data: bytes, *, name: str) -> Manifest:
    """Parse and check a manifest; `name` is its URI, for messages.

    Raises:
        NewerVersionError: a newer release wrote it.
        DataSetError: it is not JSON, a field is missing, unknown or of another type, its digest does not fit its
            bytes (someone edited it), its shards have other keys than `pack` writes, or its counts contradict each
            other.
    """
    place = Place(name=name, remedy="restore the manifest or pack anew")
    manifest = decode_versioned(data, Manifest, newest=MANIFEST_VERSION, place=place)
    if not manifest.digest:
        raise DataSetError(f"{name}: edited after it was written: it has no digest; {place.remedy}")
    for split_name, split in manifest.splits.items():
        _check_keys(manifest, split_name, split, name)
        _check_counts(manifest, split_name, split, name)
    return manifest


def _check_keys(manifest: Manifest, split_name: str, split: SplitEntry, name: str) -> None:
    """Refuse shards that lie elsewhere than where they are written, such as outside the data set."""
    if not re.fullmatch(SPLIT_NAME, split_name):
        raise DataSetError(f"{name}: expected names of splits such as train, found {split_name!r}")
    suffix = get_format(manifest.format).suffix
    for index, shard in enumerate(split.shards):
        expected = shard_key(split_name, shard_stem(split_name, index, len(split.shards)), suffix)
        if shard.key != expected:
            raise DataSetError(
                f"{name}: expected shard {index} of split {split_name!r} under the key {expected}, found "
                f"{shard.key!r}; restore the manifest or pack anew"
            )


def _check_counts(manifest: Manifest, split_name: str, split: SplitEntry, name: str) -> None:
    for field in ("num_records", "num_fills"):
        total = sum(getattr(shard, field) for shard in split.shards)
        if total != getattr(split, field):
            raise DataSetError(f"{name}: {split_name}.{field} is {getattr(split, field)}, its shards sum to {total}")
    counts = {shard.num_records for shard in split.shards}
    if is_training_split(split_name) and len(counts) > 1:
        raise DataSetError(f"{name}: shards of training split {split_name!r} differ in records: {sorted(counts)}")
    if len(split.shards) % manifest.world:
        raise DataSetError(
            f"{name}: {split_name} has {len(split.shards)} shards, which do not divide by the world of {manifest.world}"
        )
