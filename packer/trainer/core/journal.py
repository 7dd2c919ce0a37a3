"""Reports of rank 0 during training: events for programs, and now and then a line for people."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from packer.trainer.core.events import (
    CheckpointEvent,
    EpochEvent,
    Event,
    EventWriter,
    JsonLines,
    StartEvent,
    StepEvent,
)
from packer.trainer.core.meter import Meter, Rates, peak_memory_bytes, rates_between
from packer.trainer.core.metrics import EpochResult
from packer.trainer.core.progress_state import TrainingProgress
from packer.trainer.core.step_trace import StepTrace, TraceOpener
from packer.trainer.core.tensorboard_file import TensorBoardFile
from packer.trainer.core.train_options import LogOptions
from packer.trainer.core.training_input import Job

Announce = Callable[[str], None]


class Journal:
    """Writes events and lines on rank 0; on other ranks it writes nothing."""

    def __init__(self, job: Job, announce: Announce, open_trace: TraceOpener) -> None:
        """Open the files that the options name. Raises OSError."""
        self._job, self._announce, self._log = job, announce, job.options.log
        self._is_first = job.world.rank == 0
        self._trace = StepTrace(open_trace, self._log.trace if self._is_first else "", self._log.trace_steps)
        self._writers = open_writers(self._log) if self._is_first else ()
        self._last_line_s = time.perf_counter()
        self._event_rates = self._line_rates = Rates(steps=0, seconds=0.0, data_wait_s=0.0)

    def start(self, *, framework: str, device: str, progress: TrainingProgress) -> None:
        """Report the start of the run. Raises OSError."""
        self._trace.start()
        self._put(
            StartEvent(
                time_s=time.time(),
                framework=framework,
                device=device,
                model=self._job.options.recipe.model,
                world=self._job.world.size,
                manifest_digest=self._job.source.manifest.digest,
                steps_per_epoch=self._job.steps,
                step=progress.steps_done,
            )
        )

    def begin_epoch(self) -> None:
        """Start counting with the epoch's new meter."""
        self._event_rates = self._line_rates = Rates(steps=0, seconds=0.0, data_wait_s=0.0)

    def step(self, progress: TrainingProgress, loss: float, meter: Meter) -> None:
        """Report a step if an event or a line is due."""
        if not self._is_first:
            return
        self._trace.step()
        if progress.steps_done % self._log.log_steps == 0 and self._writers:
            rates = meter.read()
            self._put(self._step_event(progress, loss, rates_between(self._event_rates, rates)))
            self._event_rates = rates
        if time.perf_counter() - self._last_line_s >= self._log.log_seconds:
            rates = meter.read()
            self._announce(self._line(progress, loss, rates_between(self._line_rates, rates)))
            self._line_rates = rates
            self._last_line_s = time.perf_counter()

    def epoch(self, progress: TrainingProgress, result: EpochResult) -> None:
        """Report the end of an epoch."""
        self._put(
            EpochEvent(
                time_s=time.time(),
                step=progress.steps_done,
                epoch=result.epoch,
                loss=result.loss,
                images_per_second=result.images_per_second,
                data_wait_s=result.data_wait_s,
                evaluation=result.evaluation,
            )
        )
        self._last_line_s = time.perf_counter()

    def checkpoint(self, progress: TrainingProgress, *, state_bytes: int, seconds: float) -> None:
        """Report that a checkpoint was written."""
        self._put(
            CheckpointEvent(
                time_s=time.time(),
                step=progress.steps_done,
                epoch=progress.epoch + 1,
                state_bytes=state_bytes,
                seconds=seconds,
            )
        )

    def close(self) -> None:
        """Close the files."""
        self._trace.close()
        for writer in self._writers:
            writer.close()

    def _put(self, event: Event) -> None:
        for writer in self._writers:
            writer.put(event)

    def _step_event(self, progress: TrainingProgress, loss: float, rates: Rates) -> StepEvent:
        return StepEvent(
            time_s=time.time(),
            step=progress.steps_done,
            epoch=progress.epoch + 1,
            loss=loss,
            learning_rate=progress.learning_rate,
            images_per_second=rates.images_per_second(self._job.global_batch),
            step_s=rates.step_s,
            data_wait_s=rates.data_wait_s,
            memory_bytes=peak_memory_bytes(),
        )

    def _line(self, progress: TrainingProgress, loss: float, rates: Rates) -> str:
        job = self._job
        return (
            f"rank 0/{job.world.size} epoch {progress.epoch + 1}/{job.options.recipe.epochs} "
            f"step {progress.position // job.global_batch}/{job.steps} loss {loss:.4f} "
            f"rate {progress.learning_rate:.4g} images/s {rates.images_per_second(job.global_batch):.0f} "
            f"waited for data {rates.wait_share:.0%}"
        )


def open_writers(log: LogOptions) -> Sequence[EventWriter]:
    """Open the files that the options name. Raises OSError."""
    writers: list[EventWriter] = []
    if log.log:
        writers.append(JsonLines(log.log))
    if log.tensorboard:
        writers.append(TensorBoardFile(log.tensorboard, time_s=time.time()))
    return writers
