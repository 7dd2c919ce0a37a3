"""Vectors as labels of a stream: how long they are is known with the first record, after memory for batches is there.

So they do not lie in the slots, as other labels do, but come beside them (`MadeBatch.vectors`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from packer.errors import DataSetError, OptionsError
from packer.loading.loader_input import InputShards
from packer.loading.loader_spec import LoaderSpec
from packer.loading.sample_fields import labels_are_boxes


def has_streamed_vectors(shards: InputShards) -> bool:
    """Say whether a split comes as a stream whose labels are vectors."""
    manifest = shards.manifest
    return shards.is_stream and manifest.label_kind == "floats" and not labels_are_boxes(manifest)


def check_streamed_vectors(shards: InputShards, spec: LoaderSpec) -> None:
    """Raise OptionsError where a rank may have no record at all, and so no length for the labels of empty batches."""
    counts = sorted(shard.num_records for shard in shards.manifest.split(spec.split).shards)
    if not any(counts[: len(counts) // spec.world]):
        raise OptionsError(
            f"{shards.uri}: split {spec.split!r}: expected a record for each of {spec.world} ranks, found shards "
            "without any; a Pipe channel tells the length of labels that are vectors with the first record: use File "
            "or FastFile mode, or fewer ranks"
        )


def create_streamed_labels(shards: InputShards, spec: LoaderSpec) -> StreamedLabels | None:
    """Return what makes the labels of a split whose vectors come beside the slots; None for any other split."""
    return StreamedLabels(shards.uri, spec.batch_size) if has_streamed_vectors(shards) else None


class StreamedLabels:
    """Makes label arrays of the batches of one rank; remembers how long its vectors are."""

    def __init__(self, uri: str, batch_size: int) -> None:
        """Take the URI of what is read, for messages, and the samples of a batch."""
        self._uri, self._batch_size = uri, batch_size
        self._num_values: int | None = None

    @property
    def num_values(self) -> int | None:
        """The length of a vector; None before the first one came."""
        return self._num_values

    def array(self, vectors: Sequence[Sequence[float]]) -> npt.NDArray[np.float32]:
        """Return float32 [batch, n]: the vectors of a batch, then zeros. Raises DataSetError where lengths differ."""
        for vector in vectors:
            if self._num_values is None:
                self._num_values = len(vector)
            if len(vector) != self._num_values:
                raise DataSetError(f"{self._uri}: expected {self._num_values} label values, found {len(vector)}")
        assert self._num_values is not None, "a rank's first batch has a record: `check_streamed_vectors`"
        labels = np.zeros((self._batch_size, self._num_values), np.float32)
        if vectors:
            labels[: len(vectors)] = vectors
        return labels
