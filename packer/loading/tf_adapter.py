"""Batches of a loader as a tf.data.Dataset. TensorFlow decodes nothing, so samples may have any encoding."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

from packer.extras import require_extra

if TYPE_CHECKING:
    from packer.loading.loader import Loader

TfDataset: TypeAlias = Any
"""A tf.data.Dataset. The alias is Any because TensorFlow is not installed where types are checked."""


def tf_dataset(loader: Loader) -> TfDataset:
    """Return a data set of (images, labels, weights): the loader's batches from its position on, one by one.

    Images are uint8 [batch, px, px, 3] in RGB, labels int64 [batch] or float32 [batch, n], weights float32 [batch].
    For label vectors of a Pipe channel, n is None, since their length is known only from the first record. A training
    split never ends: take `loader.steps` batches for an epoch. Batches that are fetched ahead of the loop, for instance
    by `prefetch`, count as handed out in the loader's state.

    Raises:
        MissingExtraError: TensorFlow is not installed.
    """
    tf = import_tensorflow()
    layout = loader.layout
    size, px, shape = layout.batch_size, layout.image_px, loader.label_shape
    labels = tf.TensorSpec(shape, tf.float32 if len(shape) == 2 else tf.int64)
    signature = (tf.TensorSpec([size, px, px, 3], tf.uint8), labels, tf.TensorSpec([size], tf.float32))

    def batches() -> Iterator[tuple[Any, Any, Any]]:
        for batch in loader:
            yield batch.images, batch.labels, batch.weights

    return tf.data.Dataset.from_generator(batches, output_signature=signature)


def import_tensorflow() -> ModuleType:
    """Import and return TensorFlow. Raises MissingExtraError if it is not installed."""
    return require_extra("tensorflow", "tensorflow", purpose="batches of a tf.data.Dataset")
