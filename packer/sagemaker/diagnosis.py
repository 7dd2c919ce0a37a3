"""Why a training job is slow: finds the AWS rules of thumb that apply, with figures, and says what to change.

AWS's advice on input: a long start means a long download. Idle GPUs beside busy processors mean slow decoding. If both
are idle, there are too few threads or the store is slow.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import msgspec

from packer.errors import OptionsError
from packer.sagemaker.instance_types import num_cpus, with_more_cpus
from packer.sagemaker.job_metrics import JobFigures

_BUSY = 0.8
"""A processor that is busier than this has little capacity left."""
_IDLE = 0.7
"""A GPU that is less busy than this is waiting."""
_FULL = 0.9
_LONG_START = 0.2
"""A download is long above this share of download and training together."""
_SHORT_S = 60.0
"""A download up to this many seconds is never called long."""
_WAITS = 0.1
"""Waiting for data slows a trainer down if it takes more than this share of the time."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One rule that applies."""

    rule: str
    figure: str
    advice: str


def read_wait_share(lines: bytes, *, name: str) -> float | None:
    """Return the share of the trainer's time spent waiting for data, from its events; None if they hold no steps.

    Raises:
        OptionsError: the lines are not events of the trainer.
    """
    waited = total = 0.0
    before = None
    for line in lines.splitlines():
        try:
            event = msgspec.json.decode(line, type=_Event)
        except msgspec.DecodeError as error:
            raise OptionsError(f"expected events of the trainer, one JSON object a line, in {name}: {error}") from None
        if event.event == "step" and event.step_s is not None and before is not None:
            waited += event.data_wait_s
            total += event.time_s - before
        if event.event in ("start", "step", "epoch", "checkpoint"):
            before = event.time_s
    return min(1.0, waited / total) if total > 0 else None


class _Event(msgspec.Struct, frozen=True, kw_only=True):
    event: str
    time_s: float
    step_s: float | None = None
    data_wait_s: float = 0.0


def diagnose(figures: JobFigures, wait_share: float | None = None) -> Sequence[Finding]:
    """Return the rules that apply, the most costly first; empty if nothing was measured.

    Args:
        figures: measurements of the job.
        wait_share: share of the trainer's time spent waiting for data, in [0, 1]; None if its events are not known.
    """
    return [*_start(figures), *_use(figures, wait_share), *_limits(figures)]


def _start(figures: JobFigures) -> Iterator[Finding]:
    whole = figures.download_s + figures.training_s
    if figures.download_s > _SHORT_S and figures.download_s > _LONG_START * whole:
        yield Finding(
            rule="long start: download",
            figure=f"{figures.download_s:.0f} s of {whole:.0f} s ({figures.download_s / whole:.0%}) were download",
            advice="take `mode=FastFile`, which starts at once; or keep instances for the next job with `keep_alive_s`",
        )


def _use(figures: JobFigures, wait_share: float | None) -> Iterator[Finding]:
    if figures.cpu is None:
        return
    shown = f"CPU {figures.cpu:.0%}" if figures.gpu is None else f"GPU {figures.gpu:.0%}, CPU {figures.cpu:.0%}"
    if wait_share is not None:
        shown += f", waiting for data {wait_share:.0%}"
    if figures.gpu is None:
        if figures.cpu >= _BUSY:
            yield Finding(
                rule="processors train", figure=shown, advice=f"train on GPUs: {figures.instance_type} has none"
            )
        return
    if figures.gpu >= _IDLE:
        if figures.gpu >= _FULL:
            yield Finding(rule="GPUs are busy", figure=shown, advice="no change of the input makes this job faster")
    elif wait_share is not None and wait_share < _WAITS:
        yield Finding(
            rule="GPUs wait, but not for data",
            figure=shown,
            advice="larger batches (`batch_size`), bf16, or fewer instances: ranks wait for each other",
        )
    elif figures.cpu >= _BUSY:
        yield Finding(rule="low GPU, busy CPU: decoding", figure=shown, advice=_help_decoding(figures))
    else:
        store = "`cache` on the instance's disk, or `mode=File`" if "File" not in figures.modes else "more instances"
        yield Finding(
            rule="GPU and CPU idle: too few threads or a slow store",
            figure=shown,
            advice=f"more `threads` of the trainer; if reading is slow, {store}",
        )


def _help_decoding(figures: JobFigures) -> str:
    """Return advice that makes decoding cheaper, with the number of processors missing to feed the GPUs."""
    assert figures.gpu is not None
    assert figures.cpu is not None
    cpus = num_cpus(figures.instance_type)
    more = math.ceil(cpus * figures.cpu * (_FULL / max(figures.gpu, 0.05) - 1))
    larger = with_more_cpus(figures.instance_type)
    other = f"; or {larger} ({num_cpus(larger)} vCPUs)" if larger else ""
    return (
        f"pack with a smaller `resize`, such as 256 for crops of 224; or a `data_group` of {more} vCPUs more for each "
        f"instance (it has {cpus}){other}"
    )


def _limits(figures: JobFigures) -> Iterator[Finding]:
    if figures.memory is not None and figures.memory >= _FULL:
        yield Finding(
            rule="memory is nearly full",
            figure=f"memory {figures.memory:.0%}",
            advice="fewer `threads`, a smaller batch, or a `cache` on disk in the place of memory",
        )
    if figures.disk is not None and figures.disk >= _FULL:
        yield Finding(
            rule="disk is nearly full",
            figure=f"disk {figures.disk:.0%}",
            advice="a larger `volume_gb`, or `mode=FastFile`, which keeps nothing on the disk",
        )
