"""The program that SageMaker's training toolkit starts: a trainer rank or a data host, by this host's group."""

from __future__ import annotations

import os

from packer.channels.jobfiles import (
    BASE_DIR_VARIABLE,
    DEFAULT_BASE_DIR,
    is_training_container,
    load_hyperparameters,
    load_job_files,
)
from packer.trainer.container.host_role import HostRole, find_role
from packer.trainer.container.process_register import registered


def main() -> None:
    """Run this host's role and end the process with its exit code."""
    base_dir = os.environ.get(BASE_DIR_VARIABLE, DEFAULT_BASE_DIR)
    with registered(base_dir):
        role = role_here(base_dir)
        if role is HostRole.DATA:
            from packer.trainer.container.job_host import main as serve

            serve([])
        elif role is HostRole.TRAIN:
            from packer.trainer.cli import main as train

            train()
        else:
            os.write(1, b"this host's instance group neither trains nor feeds: there is nothing to do here\n")


def role_here(base_dir: str) -> HostRole:
    """Return this host's role; outside of a SageMaker job, `HostRole.TRAIN`."""
    if not is_training_container(base_dir):
        return HostRole.TRAIN
    return find_role(load_job_files(base_dir).resources, load_hyperparameters(base_dir))
