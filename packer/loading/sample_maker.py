"""From records to the samples of a batch: read, choose a window, decode into the slot, transform, label."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from packer.errors import DataSetError, OptionsError
from packer.formats.container import ExtraValue, Sample
from packer.formats.framing import MalformedError
from packer.loading.crop_decoder import CreateDecoder, PictureError, PictureSize, Pixels
from packer.loading.loader_input import InputShards
from packer.loading.loader_spec import LoaderSpec
from packer.loading.record_columns import KEY, RecordColumns
from packer.loading.record_order import RecordRef
from packer.loading.record_reader import RecordReader, ShardOffsets
from packer.loading.sample_fields import Cut, FieldMaker, labels_are_boxes
from packer.loading.shard_access import ShardAccess
from packer.loading.slot_ring import Slot
from packer.loading.stream_plan import StreamedRecord
from packer.loading.window_choice import central_window, random_window, sample_seed
from packer.specs import FieldSpec

Transform: TypeAlias = Callable[[Pixels, np.random.Generator], Pixels]
"""Takes an image (uint8 [px, px, 3], which it may change) and a generator; returns an image of that shape and type."""


Ref: TypeAlias = "RecordRef | StreamedRecord"


@dataclass(frozen=True, slots=True)
class MakerSetup:
    """The setup that all threads of a loader share for making samples."""

    spec: LoaderSpec
    shards: InputShards
    offsets: ShardOffsets
    access: ShardAccess
    create_decoder: CreateDecoder
    label_values: int
    """Values of a label vector in a slot; 0 for class ids, and if label vectors are not in the slots."""
    vectors_beside: bool = False
    """Labels are vectors whose length is not known yet; see `streamed_labels`."""
    transform: Transform | None = None
    columns: RecordColumns | None = None
    """Source of keys and extra columns; None if the records hold them or none is requested."""
    fields: tuple[FieldSpec, ...] = ()
    """Fields that batches hold."""


@dataclass(slots=True)
class SampleNotes:
    """Data of some samples that are not in a slot's arrays, and the time spent on the samples."""

    keys: list[str] = field(default_factory=list)
    columns: dict[str, list[ExtraValue | None]] = field(default_factory=dict)
    fields: dict[str, list[Any]] = field(default_factory=dict)
    vectors: list[tuple[float, ...]] = field(default_factory=list)
    """Label vectors that are not in the slot."""
    store_s: float = 0.0
    """Seconds spent on reading records."""
    decode_s: float = 0.0
    """Seconds spent on decoding, scaling and transforming."""


class SampleMaker:
    """Makes samples; used only by the thread that made it."""

    def __init__(self, setup: MakerSetup) -> None:
        self._setup = setup
        self._reader = RecordReader(setup.shards.files, setup.offsets, setup.access)
        self._decoder = setup.create_decoder()
        self._fields = FieldMaker(setup.fields, self._decoder, side_px=setup.spec.image_px)
        self._has_boxes_as_labels = labels_are_boxes(setup.shards.manifest)
        self._max_pixels = setup.shards.manifest.image.max_pixels

    def fill(self, slot: Slot, first: int, refs: Sequence[Ref], epoch: int) -> SampleNotes:
        """Write the samples of some records to a slot, starting at sample number `first` of the slot.

        Raises:
            DataSetError: a shard cannot be read, or a sample does not decode; the text names shard and record.
            CorruptRecordError: a record's framing or a checksum is wrong.
        """
        spec = self._setup.spec
        notes = SampleNotes(columns={name: [] for name in spec.columns})
        started_s = time.perf_counter()
        for index, ref in enumerate(refs, first):
            sample = ref.sample if isinstance(ref, StreamedRecord) else self._reader.read(ref)
            read_s = time.perf_counter()
            notes.store_s += read_s - started_s
            if self._setup.vectors_beside:
                notes.vectors.append(self._vector(ref, sample))
            else:
                slot.labels[index] = self._label(ref, sample)
            slot.weights[index] = 1
            cut = self._draw(slot.images[index], ref, sample, epoch)
            if self._setup.fields:
                for name, value in self._make_fields(slot, index, ref, sample, cut).items():
                    notes.fields.setdefault(name, []).append(value)
            if spec.keys:
                notes.keys.append(self._value(KEY, ref, sample))
            for name in spec.columns:
                notes.columns[name].append(self._value(name, ref, sample))
            started_s = time.perf_counter()
            notes.decode_s += started_s - read_s
        return notes

    def _value(self, name: str, ref: Ref, sample: Sample) -> Any:
        """Return a sample's key or its value in an extra column; None if it has no value."""
        if self._setup.columns is not None and not isinstance(ref, StreamedRecord):
            return self._setup.columns.value(name, ref)
        return sample.key if name == KEY else sample.extras.get(name)

    def _make_fields(self, slot: Slot, index: int, ref: Ref, sample: Sample, cut: Cut) -> dict[str, Any]:
        try:
            self._fields.draw(slot, index, sample, cut)
            return self._fields.make(sample, cut)
        except (PictureError, MalformedError, DataSetError) as error:
            raise self._broken_error(ref, sample, error) from None

    def _draw(self, out: Pixels, ref: Ref, sample: Sample, epoch: int) -> Cut:
        """Choose the part of a sample's picture for this epoch, draw it to `out` and return the part."""
        spec = self._setup.spec
        encoded = memoryview(sample.encoded)
        shard = ref.shard if isinstance(ref, StreamedRecord) else self._setup.shards.numbers[ref.shard]
        seed = sample_seed(spec.seed, epoch, shard, ref.record)
        try:
            size = self._decoder.read_size(encoded)
            self._check_size(size)
            window = (
                random_window(size, spec.min_area, seed)
                if spec.is_training
                else central_window(size, spec.evaluation_crop)
            )
            stored = PictureSize(sample.height, sample.width) if sample.width else size
            cut = Cut(stored, size, window, spec.is_training and seed.is_flipped)
            self._decoder.decode_crop(encoded, window, out, cut.is_flipped)
        except PictureError as error:
            raise self._broken_error(ref, sample, error) from None
        if self._setup.transform is not None:
            self._transform(out, ref, seed.number)
        return cut

    def _check_size(self, size: PictureSize) -> None:
        if size.height * size.width > self._max_pixels:
            raise PictureError(f"{size.width} x {size.height} pixels, more than the {self._max_pixels:,} of packing")

    def _transform(self, out: Pixels, ref: Ref, seed: int) -> None:
        assert self._setup.transform is not None
        changed = self._setup.transform(out, np.random.Generator(np.random.PCG64(seed)))
        if changed is out:
            return
        if getattr(changed, "shape", None) != out.shape or changed.dtype != np.uint8:
            raise OptionsError(
                f"transform: expected an image uint8 {list(out.shape)} for {self._name(ref)}, got "
                f"{getattr(changed, 'dtype', type(changed).__name__)} {list(getattr(changed, 'shape', ()))}"
            )
        out[:] = changed

    def _label(self, ref: Ref, sample: Sample) -> Any:
        label, num_values = sample.label, self._setup.label_values
        if label is None and self._setup.shards.manifest.label_kind == "none":
            return -1
        if self._has_boxes_as_labels:
            return -1
        if isinstance(label, int) and not num_values:
            return label
        if isinstance(label, tuple) and len(label) == num_values:
            return label
        expected = f"{num_values} label values" if num_values else "a class id"
        raise DataSetError(f"{self._name(ref)}: expected {expected}, found {label!r}")

    def _vector(self, ref: Ref, sample: Sample) -> tuple[float, ...]:
        if not isinstance(sample.label, tuple):
            raise DataSetError(f"{self._name(ref)}: expected a vector of label values, found {sample.label!r}")
        return sample.label

    def _broken_error(self, ref: Ref, sample: Sample, error: Exception) -> DataSetError:
        return DataSetError(
            f"{self._name(ref)}: sample {sample.key!r}: expected {sample.image_format or 'an image'} that decodes, "
            f"found: {error}; shardpack verify `decode=True` lists all such samples"
        )

    def _name(self, ref: Ref) -> str:
        if isinstance(ref, StreamedRecord):
            return f"{self._setup.shards.uri}: sample {ref.record} of the epoch"
        return f"{self._setup.shards.files[ref.shard].name}: record {ref.record}"


def count_label_values(setup: MakerSetup) -> int:
    """Return how many values a label vector of the split has; 0 for class ids, without labels, and for streams.

    Reads one record. Raises as `RecordReader.read`.
    """
    if setup.shards.manifest.label_kind != "floats" or setup.shards.is_stream:
        return 0
    first = next(index for index, count in enumerate(setup.shards.shard_counts) if count)
    sample = RecordReader(setup.shards.files, setup.offsets, setup.access).read(RecordRef(first, 0))
    return len(sample.label) if isinstance(sample.label, tuple) else 1


def load_transform(name: str) -> Transform | None:
    """Import the function that ``module:function`` names; return None for an empty name. Raises OptionsError."""
    if not name:
        return None
    module, _, path = name.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise OptionsError(f"transform: cannot import {name!r} as module:function: {error}") from None
    if not callable(found):
        raise OptionsError(f"transform: expected a function at {name!r}, found {type(found).__name__}")
    transform: Transform = found
    return transform
