"""Small data sets and local jobs on them, run as a user runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from packer.dataset.manifest import Manifest
from packer.specs import FormatName
from tests.reading.make_dataset import deal, make_dataset, make_samples

ROOT = Path(__file__).parents[2]
LIMIT_S = 300
NUM_TRAIN, NUM_VAL = 32, 11
FIRST_VAL = 1000
"""Label of the first evaluation sample; those of training begin at 0."""


def make_small(root: Path, *, num_shards: int = 8, container: FormatName = FormatName.TFRECORD) -> Manifest:
    """Write a data set of 32 training and 11 evaluation samples, each of a class of its own."""
    splits = {
        "train": deal(make_samples(NUM_TRAIN, side_px=8), num_shards),
        "val": deal(make_samples(NUM_VAL, first=FIRST_VAL, side_px=8), num_shards),
    }
    return make_dataset(root, splits, container=container, world=num_shards)


def start(dest: Path | str, *options: object, command: Sequence[object]) -> subprocess.Popen[str]:
    """Start a local job; its process leads a group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "packer", "sagemaker-local", str(dest), *map(str, options), "--", *map(str, command)],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


def finish(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    """Wait for a job's end; one that hangs fails the test."""
    try:
        output, errors = process.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, errors = process.communicate()
        raise AssertionError(f"the job hangs; it said:\n{output}\n{errors}") from None
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def run(dest: Path | str, *options: object, command: Sequence[object]) -> subprocess.CompletedProcess[str]:
    """Run a local job to its end."""
    return finish(start(dest, *options, command=command))


def result_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Return the JSON object of a job that was run with --json."""
    document: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return document
