"""An instance's folder as SageMaker lays out /opt/ml, with the three files that describe the job.

<base>/input/config/      hyperparameters.json, inputdataconfig.json, resourceconfig.json
<base>/input/data/        channels
<base>/model, output/data, checkpoints, code
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import msgspec

from packer.channels.channel_names import InputMode
from packer.channels.channel_plan import ChannelPlan
from packer.channels.jobfiles import (
    DISTRIBUTION_GROUPS,
    ChannelConfig,
    JobFiles,
    ResourceConfig,
    encode_hyperparameters,
    write_job_files,
)
from packer.localjob.job_spec import (
    MPI_ENABLED,
    PROGRAM,
    Launch,
    LocalJob,
    all_hosts,
    list_groups,
)

NETWORK_INTERFACE = "lo"
_FOLDERS = ("input/config", "input/data", "model", "output/data", "checkpoints", "code")
_FAILURE_CHARS = 1024
"""Characters of a failure that SageMaker shows."""


def describe_instance(job: LocalJob, host: str, plans: Sequence[ChannelPlan], *, base: str) -> JobFiles:
    """Return the job's files for one instance, whose folder is below `base`."""
    groups = list_groups(job)
    own = next(group for group in groups if host in group.hosts)
    resources = ResourceConfig(
        current_host=host,
        hosts=all_hosts(job),
        current_instance_type=own.instance_type,
        current_group_name=own.instance_group_name,
        instance_groups=groups,
        network_interface_name=NETWORK_INTERFACE,
    )
    channels = {plan.name: _describe_channel(plan) for plan in plans}
    return JobFiles(base_dir=os.path.join(base, host, "opt", "ml"), resources=resources, channels=channels)


def list_hyperparameters(job: LocalJob) -> dict[str, str]:
    """Return the hyperparameters as in the file, with those that SageMaker's SDK adds to tell what to start."""
    program = next((word for word in job.command if word.endswith(".py")), job.command[0])
    own = {PROGRAM: _as_json(os.path.basename(program)), **encode_hyperparameters(dict(job.hyperparameters))}
    if job.groups.train:
        own |= {DISTRIBUTION_GROUPS: _as_json([job.groups.train])}
    if job.launch is not Launch.MPI:
        return own
    return own | {
        MPI_ENABLED: "true",
        "sagemaker_mpi_num_of_processes_per_host": str(job.cluster.gpus_per_instance),
    }


def _as_json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def make_tree(files: JobFiles, hyperparameters: Mapping[str, str]) -> None:
    """Make an instance's folders and write its files. Raises OSError."""
    for folder in _FOLDERS:
        os.makedirs(os.path.join(files.base_dir, folder))
    write_job_files(files, hyperparameters)


def put_success(files: JobFiles) -> None:
    """Write the file that SageMaker's toolkit leaves on a host after success. Raises OSError."""
    with open(os.path.join(files.base_dir, "output", "success"), "wb"):
        pass


def read_failure(files: JobFiles) -> str:
    """Return the first 1,024 characters of the instance's output/failure; empty if there is no such file."""
    try:
        with open(os.path.join(files.base_dir, "output", "failure"), encoding="utf-8", errors="replace") as file:
            return file.read(_FAILURE_CHARS)
    except OSError:
        return ""


def _describe_channel(plan: ChannelPlan) -> ChannelConfig:
    mode = InputMode.FILE if plan.mode is InputMode.FILE_SYSTEM else plan.mode
    return ChannelConfig(
        training_input_mode=mode,
        s3_distribution_type="ShardedByS3Key" if plan.sharded else "FullyReplicated",
        record_wrapper_type="None",
    )
