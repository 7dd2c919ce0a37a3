"""What a host of a SageMaker job is for: a pure function of the job's files.

SageMaker's training toolkit starts MPI on the hosts of the groups that `sagemaker_distribution_instance_groups` names,
and the same program once, alone, on every other host. So the program has to know where it is.
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
    """Return what this host is for: ranks where no group is named for them.

    Args:
        resources: of the job.
        hyperparameters: decoded.
    """
    group = resources.current_group_name
    training = hyperparameters.get(DISTRIBUTION_GROUPS)
    if not isinstance(training, list) or group in training:
        return HostRole.TRAIN
    return HostRole.DATA if group and group == group_of_feed(str(hyperparameters.get("feed", ""))) else HostRole.NONE
