"""What `shardpack sagemaker` says of a job that is slow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from packer.cli.phase_text import format_seconds
from packer.cli.shown_line import in_flags

if TYPE_CHECKING:
    from packer.sagemaker.diagnosis import Finding
    from packer.sagemaker.job_metrics import JobFigures


def diagnosis_document(figures: JobFigures, wait_share: float | None, findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the same as one JSON object, with all figures."""
    found = [{**msgspec.to_builtins(finding), "advice": in_flags(finding.advice)} for finding in findings]
    return {**msgspec.to_builtins(figures), "wait_share": wait_share, "findings": found}


def diagnosis_lines(figures: JobFigures, findings: Sequence[Finding]) -> Iterator[str]:
    """Yield how busy the job's instances were, then each rule with its figure, and what to change."""
    shares = {"GPU": figures.gpu, "CPU": figures.cpu, "memory": figures.memory, "disk": figures.disk}
    used = ", ".join(f"{name} {share:.0%}" for name, share in shares.items() if share is not None)
    times = f"download {format_seconds(figures.download_s)}, program {format_seconds(figures.training_s)}"
    yield f"{figures.job} ({figures.status}, {figures.instance_type}): {times}; {used or 'no metrics'}"
    for finding in findings:
        yield f"{finding.rule}: {finding.figure}"
        yield f"  {finding.advice}"
    if not findings:
        yield "no rule applies"
