"""Checkpoints of one run, which rank 0 alone reads and writes."""

from __future__ import annotations

import os
from typing import Any

from packer.errors import DataSetError
from packer.reading.tf_data import import_tensorflow

CHECKPOINTS_KEPT = 2
_DIGEST_KEY = "digest/.ATTRIBUTES/VARIABLE_VALUE"


class Checkpoints:
    """The state after each epoch: model, optimizer, epochs done and the data set's digest."""

    def __init__(self, folder: str, *, model: Any, optimizer: Any, digest: str) -> None:
        self._tf = import_tensorflow()
        self._folder = os.path.join(folder, "checkpoints")
        self._digest = digest
        self._epochs_done = self._tf.Variable(0, dtype=self._tf.int64, trainable=False)
        self._checkpoint = self._tf.train.Checkpoint(
            model=model,
            optimizer=optimizer,
            epochs_done=self._epochs_done,
            digest=self._tf.Variable(digest, trainable=False),
        )
        self._manager = self._tf.train.CheckpointManager(
            self._checkpoint, self._folder, max_to_keep=CHECKPOINTS_KEPT, checkpoint_name="epoch"
        )

    def restore(self) -> int:
        """Load the last state if there is one and return how many epochs it has seen, else 0.

        Raises:
            DataSetError: the state cannot be read, or comes from training on another data set.
        """
        path = self._manager.latest_checkpoint
        if path is None:
            return 0
        try:
            trained_on = self._tf.train.load_checkpoint(path).get_tensor(_DIGEST_KEY).decode()
            self._check_digest(trained_on)
            self._checkpoint.restore(path).assert_existing_objects_matched()
        except (self._tf.errors.OpError, AssertionError, ValueError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise DataSetError(f"{path}: cannot go on from this checkpoint: {reason}; {_REMEDY}") from None
        return int(self._epochs_done.numpy())

    def save(self, epochs_done: int) -> None:
        """Write the state, after which the oldest beyond those kept is removed."""
        self._epochs_done.assign(epochs_done)
        self._manager.save(checkpoint_number=epochs_done)

    def _check_digest(self, trained_on: str) -> None:
        if trained_on != self._digest:
            raise DataSetError(
                f"{self._folder}: expected checkpoints of data set {self._digest}, "
                f"found those of {trained_on}; {_REMEDY}"
            )


_REMEDY = "name another --model-dir to start anew"
