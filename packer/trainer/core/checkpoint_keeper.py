"""When a run saves checkpoints, and which checkpoint it resumes from."""

from __future__ import annotations

import functools
import hashlib
import time
from collections.abc import Callable
from typing import Any

import msgspec

from packer.errors import DataSetError, PackerError
from packer.trainer.core.checkpoints import CheckpointDocument, Checkpoints, Identity
from packer.trainer.core.collective import Collective
from packer.trainer.core.framework import Learner
from packer.trainer.core.metrics import EvaluationResult
from packer.trainer.core.progress_state import TrainingProgress
from packer.trainer.core.train_options import Resume
from packer.trainer.core.training_input import Job

Warn = Callable[[str], None]


class Keeper:
    """Keeps the checkpoints of one run; rank 0 alone reads and writes."""

    def __init__(self, job: Job, learner: Learner, *, framework: str, warn: Warn) -> None:
        self._job, self._learner, self._framework, self._warn = job, learner, framework, warn
        self._options = job.options.checkpoints
        self._saved_s = time.monotonic()
        self._last: CheckpointDocument | None = None

    @property
    def is_keeping(self) -> bool:
        """The run saves checkpoints."""
        return bool(self._options.model_dir)

    @property
    def wants_save(self) -> bool:
        """Rank 0 asks all ranks for a checkpoint: `checkpoint_seconds` have passed since the last one."""
        seconds = self._options.checkpoint_seconds
        return self._is_writer and bool(seconds) and time.monotonic() - self._saved_s >= seconds

    def is_due(self, progress: TrainingProgress) -> bool:
        """Say whether a checkpoint is due after this step; the same on all ranks."""
        steps = self._options.checkpoint_steps
        return self.is_keeping and bool(steps) and progress.steps_done % steps == 0

    def resume(self, collective: Collective) -> CheckpointDocument | None:
        """Load the newest whole checkpoint on all ranks and return its document, or None to start from the beginning.

        Raises, on every rank:
            DataSetError: there are checkpoints, but the run cannot resume from any of them.
        """
        document: CheckpointDocument | None = None
        error: PackerError | None = None
        if self._is_writer:
            try:
                document = self._load()
            except PackerError as caught:
                error = caught
        document, error = collective.allgather((document, error))[0]
        if error is not None:
            raise error
        self._learner.broadcast()
        self._last = document
        return document

    def save(self, progress: TrainingProgress, *, is_epoch_end: bool, loader: dict[str, Any]) -> int:
        """Write a checkpoint on rank 0 and return its state's size in bytes; other ranks return 0. Raises OSError."""
        self._saved_s = time.monotonic()
        if not self._is_writer:
            return 0
        state = self._learner.save()
        job = self._job
        self._last = CheckpointDocument(
            framework=self._framework,
            model=job.options.recipe.model,
            manifest_digest=job.source.manifest.digest,
            split=job.options.split,
            batch_size=job.global_batch,
            world=job.world.size,
            progress=progress,
            is_epoch_end=is_epoch_end,
            loader=loader,
            state_key=f"checkpoints/step-{progress.steps_done:08d}.{self._framework}",
            state_bytes=len(state),
            state_sha256=hashlib.sha256(state).hexdigest(),
        )
        self._checkpoints.save(self._last, state, keep=self._options.keep_checkpoints)
        self._saved_s = time.monotonic()
        return len(state)

    def put_evaluation(self, result: EvaluationResult) -> None:
        """Add the result of an evaluation to the last checkpoint's document. Raises OSError."""
        if self._is_writer and self._last is not None:
            self._last = msgspec.structs.replace(self._last, evaluation=result)
            self._checkpoints.put_document(self._last)

    def _load(self) -> CheckpointDocument | None:
        if self._options.resume is Resume.NEVER:
            self._checkpoints.delete_all()
            return None
        found = self._checkpoints.newest()
        if found is None:
            return None
        try:
            self._learner.load(found.state)
        except ValueError as error:
            raise DataSetError(
                f"{self._options.model_dir}/{found.document.state_key}: cannot go on from this checkpoint: {error}; "
                "name another `model_dir`, or start anew with `resume=never`"
            ) from None
        return found.document

    @property
    def _is_writer(self) -> bool:
        return self.is_keeping and self._job.world.rank == 0

    @functools.cached_property
    def _checkpoints(self) -> Checkpoints:
        job = self._job
        identity = Identity(
            framework=self._framework,
            model=job.options.recipe.model,
            manifest_digest=job.source.manifest.digest,
            split=job.options.split,
        )
        return Checkpoints(self._options.model_dir, job.options.store, identity, self._warn)
