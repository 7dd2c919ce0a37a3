"""The role of a host in a SageMaker job: a pure function of the job's files.

SageMaker's training toolkit starts MPI on the hosts of the groups that `sagemaker_distribution_instance_groups` names.
On every other host it starts the same program once, without MPI. So the program must find out which role it has.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

from packer.channels.jobfiles import DISTRIBUTION_GROUPS, ResourceConfig
from packer.trainer.core.feed_options import group_of_feed


class HostRole(enum.StrEnum):
    """What runs on a host."""

    TRAIN = "train"
    """Ranks."""
    DATA = "data"
    """A data host, which makes batches for the ranks."""
    NONE = "none"
    """Nothing of this project."""


def find_role(resources: ResourceConfig, hyperparameters: Mapping[str, object]) -> HostRole:
    """Return this host's role: `HostRole.TRAIN` if the job names no groups for training.

    Args:
        resources: the job's resources; `current_group_name` is this host's group.
        hyperparameters: the job's hyperparameters, decoded from JSON.
    """
    group = resources.current_group_name
    training = hyperparameters.get(DISTRIBUTION_GROUPS)
    if not isinstance(training, list) or group in training:
        return HostRole.TRAIN
    return HostRole.DATA if group and group == group_of_feed(str(hyperparameters.get("feed", ""))) else HostRole.NONE
