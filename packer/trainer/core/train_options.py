"""Options of the trainer, checked when they are made. Field names are the command line's with underscores."""

from __future__ import annotations

import enum
import math
from typing import Annotated

import msgspec

from packer.channels.jobfiles import DEFAULT_BASE_DIR
from packer.errors import OptionsError
from packer.reading.read_spec import DEFAULT_PIPE_TIMEOUT_S
from packer.specs import DEFAULT_STORE, StoreOptions, is_training_split
from packer.trainer.core.feed_options import FeedOptions
from packer.trainer.core.recipe import Recipe, about
from packer.trainer.core.step_time import parse_step_time


class Resume(enum.StrEnum):
    """What to do with checkpoints that are in the folder already."""

    AUTO = "auto"
    """Resume from the newest whole checkpoint."""
    NEVER = "never"
    """Remove all checkpoints and start from the beginning."""


class CheckpointOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Where and how often checkpoints are saved."""

    model_dir: Annotated[str, about("folder or s3://... for checkpoints of each epoch; goes on from the newest")] = ""
    checkpoint_steps: Annotated[int, about("also a checkpoint after every so many steps")] = 0
    checkpoint_seconds: Annotated[float, about("also one when so many seconds have passed since the last")] = 0.0
    keep_checkpoints: Annotated[int, about("newest ones that stay, beside the best on `eval_split`")] = 2
    resume: Annotated[Resume, about("what to do with checkpoints that are there: go on, or remove them")] = Resume.AUTO

    def __post_init__(self) -> None:
        if self.checkpoint_steps < 0:
            raise OptionsError(f"expected at least 0, got {self.checkpoint_steps}", field="checkpoint_steps")
        if not 0 <= self.checkpoint_seconds < math.inf:
            raise OptionsError(f"expected at least 0, got {self.checkpoint_seconds:g}", field="checkpoint_seconds")
        if self.keep_checkpoints < 1:
            raise OptionsError(f"expected at least 1, got {self.keep_checkpoints}", field="keep_checkpoints")
        if (self.checkpoint_steps or self.checkpoint_seconds) and not self.model_dir:
            raise OptionsError("expected a place for checkpoints of steps or seconds, got none", field="model_dir")


class LogOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What rank 0 reports while it trains."""

    log: Annotated[str, about("file of JSON lines for events of rank 0; `events` under horovodrun, torchrun")] = ""
    log_steps: Annotated[int, about("steps from one event to the next")] = 10
    log_seconds: Annotated[float, about("seconds from one line for people to the next, at least")] = 30.0
    tensorboard: Annotated[str, about("folder in which rank 0 writes for TensorBoard")] = ""
    trace: Annotated[str, about("folder in which rank 0 puts a profile of the first steps")] = ""
    trace_steps: Annotated[int, about("how many steps those are")] = 10

    def __post_init__(self) -> None:
        for name in ("log_steps", "trace_steps"):
            if getattr(self, name) < 1:
                raise OptionsError(f"expected at least 1, got {getattr(self, name)}", field=name)
        if not self.log_seconds >= 0:
            raise OptionsError(f"expected at least 0, got {self.log_seconds:g}", field="log_seconds")


class ReadingOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How batches are made. None of these options changes a batch."""

    loader: Annotated[str, about("where batches are made: in a subprocess, or in threads of this process")] = (
        "subprocess"
    )
    threads: Annotated[int, about("threads of a rank that decode; 0: its share of the processors")] = 0
    cache: Annotated[str, about("/folder:200GB keeps shards of a bucket there")] = ""

    def __post_init__(self) -> None:
        if self.loader not in ("subprocess", "process"):
            raise OptionsError(f"expected subprocess or process, got {self.loader!r}", field="loader")
        if self.threads < 0:
            raise OptionsError(f"expected at least 0, got {self.threads}", field="threads")


class TrainOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of a training run."""

    data: Annotated[str, about("path or URI of a data set (default: the channels of a SageMaker job)")] = ""
    manifest: Annotated[str, about("data set in the channels, if none of them carries its manifest")] = ""
    split: Annotated[str, about("training split")] = "train"
    eval_split: Annotated[str, about("split to evaluate after each epoch (default: none)")] = ""
    evaluate_only: Annotated[
        bool, about("evaluate the last checkpoint of `model_dir` on `eval_split` instead of training")
    ] = False
    seed: Annotated[int, about("seed of weights, order and crops")] = 0
    metrics: Annotated[str, about("JSON file that rank 0 writes at the end")] = ""
    export: Annotated[str, about("folder in which rank 0 puts the trained model")] = ""
    simulate_step: Annotated[str, about("no model: steps of a time such as 64ms, to see if data keep up")] = ""
    pipe_timeout: Annotated[float, about("seconds to wait for a Pipe channel's epoch or its next byte")] = (
        DEFAULT_PIPE_TIMEOUT_S
    )
    base_dir: str = DEFAULT_BASE_DIR
    """Folder of a job's channels. Not an option: an environment variable of SageMaker's toolkit sets it."""
    recipe: Recipe = Recipe()
    checkpoints: CheckpointOptions = CheckpointOptions()
    log: LogOptions = LogOptions()
    reading: ReadingOptions = ReadingOptions()
    feeding: FeedOptions = FeedOptions()
    store: StoreOptions = DEFAULT_STORE
    """Store options for reading `data` or `manifest` and for everything that is written to a remote store."""

    def __post_init__(self) -> None:
        if not 0 < self.pipe_timeout < math.inf:
            raise OptionsError(f"expected seconds above 0, got {self.pipe_timeout:g}", field="pipe_timeout")
        if self.data and self.manifest:
            raise OptionsError("expected it with the channels of a SageMaker job, got `data` too", field="manifest")
        if self.simulate_step:
            self._check_simulation()
        if self.evaluate_only and not (self.eval_split and self.checkpoints.model_dir):
            raise OptionsError("expected `eval_split` and `model_dir` with it", field="evaluate_only")
        if not is_training_split(self.split):
            raise OptionsError(f"expected a training split (train or train-...), got {self.split!r}", field="split")
        if self.eval_split and is_training_split(self.eval_split):
            raise OptionsError(
                f"expected an evaluation split, got training split {self.eval_split!r}", field="eval_split"
            )

    def _check_simulation(self) -> None:
        parse_step_time(self.simulate_step)
        for name, is_given in (
            ("model_dir", self.checkpoints.model_dir),
            ("export", self.export),
            ("evaluate_only", self.evaluate_only),
        ):
            if is_given:
                raise OptionsError("expected it with a model, got it with `simulate_step`", field=name)

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that this run reads."""
        names = (*(() if self.evaluate_only else (self.split,)), self.eval_split)
        return tuple(name for name in names if name)


PLAIN_FIELDS = tuple(
    name
    for name in TrainOptions.__struct_fields__
    if name not in ("base_dir", "recipe", "checkpoints", "log", "reading", "feeding", "store")
)
"""Fields of `TrainOptions` that are options by themselves."""
