"""Frameworks and how their ranks speak, each as two ranks on CPUs are started with it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from packer.specs import FormatName
from tests.trainer import rank_jobs
from tests.trainer.rank_jobs import HOROVODRUN, MPIRUN, TORCHRUN, Ended, LauncherCommand

FOLDER = Path(__file__).parent
FINAL_STATES = FOLDER / "final_states.py"
PATHS = f"{os.getcwd()}:{FOLDER}"
"""Where ranks find the package, and the networks of tests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """One of them."""

    framework: str
    module: str
    """What has to be importable."""
    model: str
    launcher: LauncherCommand
    collective: str = ""
    container: FormatName = FormatName.TFRECORD

    def skip_if_missing(self) -> None:
        """Skip the test where this is not installed."""
        pytest.importorskip(self.module)
        if not shutil.which(self.launcher.head[0]):
            pytest.skip(f"{self.launcher.name} is not installed")

    def command(self, options: Sequence[str]) -> list[str]:
        """Return the arguments of an interpreter that trains; options are name=value, with the names of fields."""
        flags = [f"--{name.replace('_', '-')}={value}" for name, _, value in (text.partition("=") for text in options)]
        flags = [flag.replace("--log=", "--events=") for flag in flags]
        chosen = ("--framework", self.framework, *(("--collective", self.collective) if self.collective else ()))
        return ["-m", "packer.trainer", *chosen, *flags]

    def train(self, launcher: LauncherCommand, size: int, options: Sequence[str]) -> Ended:
        """Train to the end; each rank then says what its trainable parameters are."""
        return rank_jobs.run(
            launcher,
            size,
            FINAL_STATES,
            self.framework,
            self.collective if size > 1 else "",
            *options,
            PYTHONPATH=PATHS,
        )


STACKS = [
    pytest.param(
        Stack(framework="torch", module="torch", model="batch_norm_torch:build", launcher=TORCHRUN),
        id="torch",
        marks=pytest.mark.torch,
    ),
    pytest.param(
        Stack(framework="torch", module="torch", model="batch_norm_torch:build", launcher=MPIRUN),
        id="torch-mpirun",
        marks=pytest.mark.torch,
    ),
    pytest.param(
        Stack(
            framework="torch",
            module="horovod.torch",
            model="batch_norm_torch:build",
            launcher=HOROVODRUN,
            collective="horovod",
            container=FormatName.RECORDIO,
        ),
        id="torch-horovod",
        marks=[pytest.mark.torch, pytest.mark.horovod],
    ),
    pytest.param(
        Stack(
            framework="keras",
            module="horovod.tensorflow",
            model="batch_norm_keras:build",
            launcher=HOROVODRUN,
        ),
        id="keras",
        marks=[pytest.mark.keras, pytest.mark.horovod],
    ),
    pytest.param(
        Stack(
            framework="mxnet",
            module="horovod.mxnet",
            model="batch_norm_gluon:build",
            launcher=HOROVODRUN,
            container=FormatName.RECORDIO,
        ),
        id="mxnet",
        marks=[pytest.mark.mxnet, pytest.mark.horovod],
    ),
]


def digests(ended: Ended, size: int) -> set[str]:
    """Return the digests of the ranks' trainable parameters, of which there is one for each rank."""
    assert ended.status == 0, ended.lines
    found = re.findall(r"rank (\d) ends with (\w+)", "\n".join(ended.lines))
    assert sorted(rank for rank, _ in found) == [str(rank) for rank in range(size)], ended.lines
    return {digest for _, digest in found}
