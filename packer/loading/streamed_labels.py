"""Label vectors of a stream. Their length is known only from the first record, after the slots have been allocated.

So these labels are not in the slots, as other labels are, but in `MadeBatch.vectors`.
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
    """Check that every rank has a record: without one, the length of its labels is unknown. Raises OptionsError."""
    counts = sorted(shard.num_records for shard in shards.manifest.split(spec.split).shards)
    if not any(counts[: len(counts) // spec.world]):
        raise OptionsError(
            f"{shards.uri}: split {spec.split!r}: expected a record for each of {spec.world} ranks, found shards "
            "without any; a Pipe channel tells the length of labels that are vectors with the first record: use File "
            "or FastFile mode, or fewer ranks"
        )


def create_streamed_labels(shards: InputShards, spec: LoaderSpec) -> StreamedLabels | None:
    """Return a maker of label arrays for a split whose label vectors are not in the slots; None for other splits."""
    return StreamedLabels(shards.uri, spec.batch_size) if has_streamed_vectors(shards) else None


class StreamedLabels:
    """Makes the label arrays of one rank's batches, and remembers the length of a vector."""

    def __init__(self, uri: str, batch_size: int) -> None:
        """Args: uri: of the data set, for messages. batch_size: samples of a batch."""
        self._uri, self._batch_size = uri, batch_size
        self._num_values: int | None = None

    @property
    def num_values(self) -> int | None:
        """The length of a vector; None before the first vector."""
        return self._num_values

    def array(self, vectors: Sequence[Sequence[float]]) -> npt.NDArray[np.float32]:
        """Return float32 [batch, n]: the vectors of a batch, then zeros. Raises DataSetError if lengths differ."""
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
