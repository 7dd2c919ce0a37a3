"""What a user can ask of the trainer, checked once."""

from __future__ import annotations

import math
from dataclasses import dataclass

from packer.channels.jobfiles import DEFAULT_BASE_DIR
from packer.errors import OptionsError
from packer.reading.read_spec import DEFAULT_PIPE_TIMEOUT_S
from packer.specs import DEFAULT_STORE, StoreOptions, is_training_split

MIN_IMAGE_PX = 16
"""The network halves the image three times and needs something left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions:
    """Options of a training run; field names are the command line's with underscores."""

    data: str = ""
    """Path or URI of a finished data set; empty for the channels of the SageMaker job that this is."""
    manifest: str = ""
    """Path or URI of the data set whose shards the channels carry; empty where a channel carries its manifest."""
    base_dir: str = DEFAULT_BASE_DIR
    """Where a job's channels are; no option, but an environment variable of SageMaker's toolkit."""
    epochs: int = 1
    batch_size: int = 32
    """Per rank."""
    image_size: int = 64
    """Width and height in pixels."""
    learning_rate: float = 0.05
    """For one rank; it is multiplied by the number of ranks."""
    warmup_epochs: float = 1.0
    model_dir: str = ""
    """Where rank 0 keeps checkpoints; empty for none."""
    metrics: str = ""
    """File that rank 0 writes at the end; empty for none."""
    seed: int = 0
    split: str = "train"
    eval_split: str = ""
    """Evaluated after each epoch; empty for none."""
    store: StoreOptions = DEFAULT_STORE
    """How `data` or `manifest`, and `metrics` in a remote place, are reached."""
    evaluate_only: bool = False
    """Evaluate the last checkpoint instead of training."""
    export: str = ""
    """Where rank 0 writes the trained model at the end; empty for nowhere."""
    pipe_timeout: float = DEFAULT_PIPE_TIMEOUT_S
    """Seconds to wait for a Pipe channel's FIFO or its next byte."""

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 1), ("image_size", MIN_IMAGE_PX)):
            if getattr(self, name) < least:
                raise OptionsError(f"--{name.replace('_', '-')}: expected at least {least}, got {getattr(self, name)}")
        if not 0 < self.learning_rate < math.inf:
            raise OptionsError(f"--learning-rate: expected a number above 0, got {self.learning_rate:g}")
        if not 0 <= self.warmup_epochs <= self.epochs:
            raise OptionsError(f"--warmup-epochs: expected 0 to {self.epochs} (--epochs), got {self.warmup_epochs:g}")
        if not 0 < self.pipe_timeout < math.inf:
            raise OptionsError(f"--pipe-timeout: expected seconds above 0, got {self.pipe_timeout:g}")
        if self.data and self.manifest:
            raise OptionsError("--manifest: expected it with the channels of a SageMaker job, got --data too")
        self._check_splits()

    @property
    def splits(self) -> tuple[str, ...]:
        """Those that are read."""
        names = (*(() if self.evaluate_only else (self.split,)), self.eval_split)
        return tuple(name for name in names if name)

    def _check_splits(self) -> None:
        if self.evaluate_only and not (self.eval_split and self.model_dir):
            raise OptionsError("--evaluate-only: expected --eval-split and --model-dir with it")
        if not is_training_split(self.split):
            raise OptionsError(f"--split: expected a training split (train or train-...), got {self.split!r}")
        if self.eval_split and is_training_split(self.eval_split):
            raise OptionsError(f"--eval-split: expected an evaluation split, got training split {self.eval_split!r}")
