"""The three JSON files that describe a job to a SageMaker training container. The trainer reads them; local jobs
write them.

    <base>/input/config/hyperparameters.json      texts by name; the SDK writes each value as JSON
    <base>/input/config/inputdataconfig.json      channels by name
    <base>/input/config/resourceconfig.json       this host and the others
    <base>/input/data/                            channels: folders, or FIFOs with the epoch in their name

`<base>` is /opt/ml. Only the files are right on every host: under SageMaker's MPI launch, every rank has the SM_*
variables of the first host. Unknown fields are ignored, since SageMaker adds some.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from packer.channels.channel_names import InputMode
from packer.errors import DataSetError, NotADataSetError
from packer.parsing import ParseError, as_json_text, parse_json

_T = TypeVar("_T")

DEFAULT_BASE_DIR = "/opt/ml"
BASE_DIR_VARIABLE = "SAGEMAKER_BASE_DIR"
"""Environment variable for another base folder; SageMaker's training toolkit reads it too."""


class InstanceGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Hosts of one kind."""

    instance_group_name: str
    instance_type: str
    hosts: tuple[str, ...]
    """Names of the hosts, in no particular order."""


class ResourceConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Content of `resourceconfig.json`."""

    current_host: str
    hosts: tuple[str, ...]
    """Names of all hosts, sorted as text, so algo-10 comes before algo-2."""
    current_instance_type: str = ""
    current_group_name: str = ""
    instance_groups: tuple[InstanceGroup, ...] = ()
    network_interface_name: str = ""


class ChannelConfig(msgspec.Struct, frozen=True, kw_only=True, rename="pascal", omit_defaults=True):
    """One channel of `inputdataconfig.json`."""

    training_input_mode: str
    """File, FastFile or Pipe; for a mounted file system it is File."""
    s3_distribution_type: str = msgspec.field(name="S3DistributionType", default="")
    """ShardedByS3Key or FullyReplicated."""
    record_wrapper_type: str = ""
    content_type: str = ""

    @property
    def sharded(self) -> bool:
        """Each instance has only a share of the shards."""
        return self.s3_distribution_type == "ShardedByS3Key"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFiles:
    """The description of a job, as a training container sees it."""

    base_dir: str
    resources: ResourceConfig
    channels: Mapping[str, ChannelConfig]

    def folder(self, channel: str) -> str:
        """Return the folder of a channel's files; Pipe channels have none."""
        return os.path.join(self.base_dir, "input", "data", channel)

    def fifo(self, channel: str, *, epoch: int) -> str:
        """Return the path of a Pipe channel's FIFO; `epoch` counts all reads of the channel from 0."""
        return f"{self.folder(channel)}_{epoch}"

    def input_mode(self, channel: str) -> InputMode:
        """Return the input mode of a channel; a mounted file system looks like File. Raises DataSetError."""
        found = self.channels[channel].training_input_mode
        try:
            return InputMode(found)
        except ValueError:
            path = os.path.join(config_dir(self.base_dir), "inputdataconfig.json")
            raise DataSetError(f"{path}: {channel}: expected File, FastFile or Pipe, found {found!r}") from None


def config_dir(base_dir: str) -> str:
    """Return the folder of the JSON files."""
    return os.path.join(base_dir, "input", "config")


def is_training_container(base_dir: str) -> bool:
    """Say whether `base_dir` has the description of a training job's channels."""
    return os.path.exists(os.path.join(config_dir(base_dir), "inputdataconfig.json"))


def load_job_files(base_dir: str) -> JobFiles:
    """Read the description of the job.

    Raises:
        NotADataSetError: a file is missing.
        DataSetError: a file cannot be read, or has another form than SageMaker's.
    """
    return JobFiles(
        base_dir=base_dir,
        resources=_load(base_dir, "resourceconfig.json", ResourceConfig),
        channels=_load(base_dir, "inputdataconfig.json", dict[str, ChannelConfig]),
    )


def load_hyperparameters(base_dir: str) -> dict[str, object]:
    """Return the hyperparameters, decoded as SageMaker's toolkit does: a value that is not JSON is taken as a text.

    Raises:
        NotADataSetError: the file is missing.
        DataSetError: the file cannot be read, or has another form than SageMaker's.
    """
    texts = _load(base_dir, "hyperparameters.json", dict[str, str])
    return {name: parse_json(as_json_text(text)) for name, text in texts.items()}


def _load(base_dir: str, name: str, kind: type[_T]) -> _T:
    path = os.path.join(config_dir(base_dir), name)
    try:
        with open(path, "rb") as file:
            return parse_json(file.read(), kind)
    except FileNotFoundError:
        raise NotADataSetError(
            f"{path}: expected the description of a SageMaker training job, found no file; outside of one name the "
            "data set with `data`"
        ) from None
    except OSError as error:
        raise DataSetError(f"{path}: cannot be read: {error.strerror}") from error
    except ParseError as error:
        raise DataSetError(f"{path}: expected what SageMaker writes there, but {error}") from None


DISTRIBUTION_GROUPS = "sagemaker_distribution_instance_groups"
"""Hyperparameter that names the groups on whose hosts SageMaker's toolkit starts ranks."""


def hosts_of_ranks(resources: ResourceConfig, hyperparameters: Mapping[str, object]) -> tuple[str, ...]:
    """Return the hosts with ranks, in the order in which the toolkit passes them to mpirun: the first has rank 0.

    It is the order in the instance groups, which may differ from the sorted order of `resources.hosts`.
    """
    named = hyperparameters.get(DISTRIBUTION_GROUPS)
    groups = named if isinstance(named, list) else [resources.current_group_name]
    found = [host for group in resources.instance_groups if group.instance_group_name in groups for host in group.hosts]
    return tuple(found) or resources.hosts


def encode_hyperparameters(values: Mapping[str, str]) -> dict[str, str]:
    """Return values in the form that SageMaker's SDK sends: a value that is not JSON becomes a JSON string."""
    return {name: as_json_text(text) for name, text in values.items()}


def write_job_files(files: JobFiles, hyperparameters: Mapping[str, str]) -> None:
    """Write the three files into existing folders below `files.base_dir`. Raises OSError."""
    documents: dict[str, object] = {
        "hyperparameters.json": hyperparameters,
        "inputdataconfig.json": files.channels,
        "resourceconfig.json": files.resources,
    }
    for name, document in documents.items():
        with open(os.path.join(config_dir(files.base_dir), name), "wb") as file:
            file.write(msgspec.json.encode(document))
