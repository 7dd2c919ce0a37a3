"""tf.data pipelines over a data set, with exactly the number of batches that the manifest promises.

    shards --> (encoded, label) --> crop, decode, resize --> batch --> exactly `steps` batches
               TFRecord files on disk: by TensorFlow's own reader; all else: by `iter_samples`, in chunks

Every batch is (images uint8 [batch, size, size, 3] in RGB, labels int64 [batch], weights float32 [batch]).
This is the only module of `packer.reading` that imports TensorFlow, and only when it is called.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import ModuleType
from typing import Any, TypeAlias

from packer.errors import DataSetError, OptionsError
from packer.extras import require_extra
from packer.formats.container import Sample
from packer.formats.registry import get_format
from packer.reading.pictures import decode_sample
from packer.reading.read_spec import BatchSpec, ReadSpec
from packer.reading.records import iter_samples
from packer.reading.shard_file import ShardFile
from packer.reading.source import RecordSource, count_steps
from packer.reading.tf_crops import (
    Picture,
    central_crop,
    open_image,
    open_jpeg,
    open_kept,
    open_transparent,
    random_crop,
)
from packer.specs import Alpha, Encode, is_training_split

TfDataset: TypeAlias = Any
"""A tf.data.Dataset; TensorFlow is not importable where types are checked."""

SAMPLES_PER_CHUNK = 64
"""A call from TensorFlow into Python costs as much as reading a dozen records, so one call brings many."""
OPEN_SHARDS = 4
"""Training shards that one rank reads at a time through TensorFlow's reader."""


def training_batches(
    source: RecordSource, split: str, read: ReadSpec, batch: BatchSpec, *, epoch: int = 0
) -> TfDataset:
    """Return one epoch of a training split: randomly cropped, mirrored and shuffled, as (seed, epoch, rank) say.

    The data set ends after exactly `count_steps` batches, or raises tf.errors.FailedPreconditionError where the
    shards hold more or fewer records; weights are 1. Who asks for the end too has read all records, and has them all
    checked.

    Raises:
        DataSetError: no such split, nothing in it, or labels that are not class ids.
        OptionsError: not a training split, the shards do not divide by the world, or the samples are WebP or images
            that were kept as they were.
        MissingExtraError: TensorFlow is not installed.
    """
    tf = import_tensorflow()
    if not is_training_split(split):
        raise OptionsError(f"split: expected a training split, got {split!r}, whose shards may differ in records")
    steps = count_steps(source, split, world=read.world, batch_size=batch.batch_size)
    seed = (read.seed * 1_000_003 + epoch) % 2**31
    open_picture = _picture_opener(tf, source)

    def prepare(index: Any, example: tuple[Any, Any]) -> tuple[Any, Any, Any]:
        encoded, label = example
        seeds = tf.stack([index * read.world + read.rank, seed])
        image = random_crop(tf, open_picture(encoded), batch, seed=seeds)
        return image, label, 1.0

    return (
        _examples(tf, source, split, read, epoch)
        .enumerate()
        .map(prepare, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .batch(batch.batch_size, drop_remainder=True)
        .apply(tf.data.experimental.assert_cardinality(steps))
        .prefetch(tf.data.AUTOTUNE)
    )


def evaluation_batches(source: RecordSource, split: str, read: ReadSpec, batch: BatchSpec) -> TfDataset:
    """Return one pass over the rank's share of a split, cropped around the centre, in stored order.

    Every rank gets exactly `count_steps` batches; the last ones are filled up with black images of label 0 and
    weight 0. Raises as `training_batches`, except that any split but a training split will do.
    """
    tf = import_tensorflow()
    if is_training_split(split):
        raise OptionsError(f"split: expected an evaluation split, got {split!r}, which has repeated records")
    steps = count_steps(source, split, world=read.world, batch_size=batch.batch_size)
    open_picture = _picture_opener(tf, source)

    def prepare(encoded: Any, label: Any) -> tuple[Any, Any, Any]:
        return central_crop(tf, open_picture(encoded), batch), label, 1.0

    black = tf.zeros([batch.image_px, batch.image_px, 3], tf.uint8)
    # As many as it takes: a stream's records are counted as they come. `_examples` raises where they are too few.
    padding = tf.data.Dataset.from_tensors((black, tf.constant(0, tf.int64), 0.0)).repeat()
    return (
        _examples(tf, source, split, read, epoch=0)
        .map(prepare, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .concatenate(padding)
        .batch(batch.batch_size, drop_remainder=True)
        .take(steps)
        .prefetch(tf.data.AUTOTUNE)
    )


def import_tensorflow() -> ModuleType:
    """Return TensorFlow. Raises MissingExtraError where it is not installed."""
    return require_extra("tensorflow", "tensorflow", purpose="reading with tf.data")


def _picture_opener(tf: ModuleType, source: RecordSource) -> Callable[[Any], Picture]:
    """Return what opens encoded samples. Raises OptionsError for samples that would come wrong, or not at all."""
    image = source.manifest.image
    if image.encode is Encode.WEBP:
        raise OptionsError(
            f"{source.uri}: expected samples that TensorFlow decodes (jpeg or png), found webp; read them with "
            "packer.reading.torch_data"
        )
    if image.keeps_all:
        raise OptionsError(
            f"{source.uri}: expected upright samples that TensorFlow decodes, found images of any kind, kept as they "
            "were (--encode keep without --resize); pack with --resize, or read them with packer.reading.torch_data, "
            "which turns them upright"
        )
    if image.encode is Encode.KEEP:
        return lambda encoded: open_kept(tf, encoded, partial(decode_sample, image=image))
    if image.encode is Encode.JPEG:
        return partial(open_jpeg, tf)
    return partial(open_transparent if image.alpha is Alpha.KEEP else open_image, tf)


def _examples(tf: ModuleType, source: RecordSource, split: str, read: ReadSpec, epoch: int) -> TfDataset:
    """Return (encoded image, label) of each of the rank's records, in the order of the epoch."""
    if source.manifest.label_kind != "class":
        raise DataSetError(f"{source.uri}: expected class labels, found {source.manifest.label_kind}")
    if not get_format(source.manifest.format).holds_examples:
        return _from_samples(tf, source, split, read, epoch)
    files = source.files(split, read, epoch=epoch)
    if files is None or not all(file.is_local for file in files):
        return _from_samples(tf, source, split, read, epoch)
    if not is_training_split(split):
        return _from_files(tf, files, open_shards=1)
    examples = _from_files(tf, files, open_shards=OPEN_SHARDS)
    if read.shuffle_records < 2:
        return examples
    seed = (read.seed * 1_000_003 + epoch * read.world + read.rank) % 2**31
    return examples.shuffle(read.shuffle_records, seed=seed, reshuffle_each_iteration=False)


def _from_files(tf: ModuleType, files: Sequence[ShardFile], *, open_shards: int) -> TfDataset:
    """Read TFRecord files with TensorFlow, which checks both checksums of every record.

    Iterating raises tf.errors.FailedPreconditionError where they hold more or fewer records than the manifest says.
    """
    features = {
        "image/encoded": tf.io.FixedLenFeature([], tf.string),
        "image/class/label": tf.io.FixedLenFeature([], tf.int64),
    }

    def parse(payload: Any) -> tuple[Any, Any]:
        fields = tf.io.parse_single_example(payload, features)
        return fields["image/encoded"], fields["image/class/label"]

    return (
        tf.data.Dataset.from_tensor_slices(tf.constant([file.name for file in files], tf.string))
        .interleave(
            lambda path: tf.data.TFRecordDataset(path, buffer_size=1 << 20),
            cycle_length=min(open_shards, len(files)),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        .apply(tf.data.experimental.assert_cardinality(sum(file.entry.num_records for file in files)))
        .map(parse, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    )


def _from_samples(tf: ModuleType, source: RecordSource, split: str, read: ReadSpec, epoch: int) -> TfDataset:
    """Read with `iter_samples`: any container, any store."""

    def chunks() -> Iterator[tuple[list[bytes], list[int]]]:
        samples = iter_samples(source, split, read, epoch=epoch)
        while chunk := list(itertools.islice(samples, SAMPLES_PER_CHUNK)):
            yield [sample.encoded for sample in chunk], [_class_id(source, sample) for sample in chunk]

    signature = (tf.TensorSpec([None], tf.string), tf.TensorSpec([None], tf.int64))
    return tf.data.Dataset.from_generator(chunks, output_signature=signature).unbatch()


def _class_id(source: RecordSource, sample: Sample) -> int:
    if not isinstance(sample.label, int):
        raise DataSetError(f"{source.uri}: sample {sample.key!r}: expected a class label, found {sample.label!r}")
    return sample.label
