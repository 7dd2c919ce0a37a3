"""The three JSON files that tell a SageMaker training container what it is: read by the trainer, written by a stand-in.

    <base>/input/config/hyperparameters.json      texts by name; the SDK writes each value as JSON
    <base>/input/config/inputdataconfig.json      channels by name
    <base>/input/config/resourceconfig.json       this host and the others
    <base>/input/data/                            channels: folders, or FIFOs with the epoch in their name

`<base>` is /opt/ml. The files are the authority on the host: under SageMaker's MPI launch the SM_* variables are the
first host's on every rank. Unknown fields are left alone, since SageMaker adds some.
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
"""Names another base; SageMaker's training toolkit reads it too."""


class InstanceGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Hosts of one kind."""

    instance_group_name: str
    instance_type: str
    hosts: tuple[str, ...]
    """In no particular order."""


class ResourceConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`resourceconfig.json`."""

    current_host: str
    hosts: tuple[str, ...]
    """Sorted as text, so algo-10 comes before algo-2."""
    current_instance_type: str = ""
    current_group_name: str = ""
    instance_groups: tuple[InstanceGroup, ...] = ()
    network_interface_name: str = ""


class ChannelConfig(msgspec.Struct, frozen=True, kw_only=True, rename="pascal", omit_defaults=True):
    """One channel of `inputdataconfig.json`."""

    training_input_mode: str
    """File, FastFile or Pipe; a mounted file system is File."""
    s3_distribution_type: str = msgspec.field(name="S3DistributionType", default="")
    """ShardedByS3Key or FullyReplicated."""
    record_wrapper_type: str = ""
    content_type: str = ""

    @property
    def sharded(self) -> bool:
        """Each instance has a share of the shards."""
        return self.s3_distribution_type == "ShardedByS3Key"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFiles:
    """What a training container is told."""

    base_dir: str
    resources: ResourceConfig
    channels: Mapping[str, ChannelConfig]

    def folder(self, channel: str) -> str:
        """Return where a channel's files are, except in Pipe mode."""
        return os.path.join(self.base_dir, "input", "data", channel)

    def fifo(self, channel: str, *, epoch: int) -> str:
        """Return the FIFO of an epoch, counted from 0 over all reads of the channel, in Pipe mode."""
        return f"{self.folder(channel)}_{epoch}"

    def input_mode(self, channel: str) -> InputMode:
        """Return how a channel comes; a mounted file system looks like File. Raises DataSetError."""
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
    """Say whether a training job's channels are described under `base_dir`."""
    return os.path.exists(os.path.join(config_dir(base_dir), "inputdataconfig.json"))


def load_job_files(base_dir: str) -> JobFiles:
    """Read what the container is told.

    Raises:
        NotADataSetError: a file is missing.
        DataSetError: a file cannot be read, or it is not what SageMaker writes.
    """
    return JobFiles(
        base_dir=base_dir,
        resources=_load(base_dir, "resourceconfig.json", ResourceConfig),
        channels=_load(base_dir, "inputdataconfig.json", dict[str, ChannelConfig]),
    )


def load_hyperparameters(base_dir: str) -> dict[str, object]:
    """Return the hyperparameters, each decoded as SageMaker's toolkit does: one that is no JSON is the text itself.

    Raises:
        NotADataSetError: the file is missing.
        DataSetError: it cannot be read, or it is not what SageMaker writes.
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
    """Return the hosts with ranks in the order in which the toolkit gives them to mpirun: the first one has rank 0.

    That is the order of their instance groups, which need not be the sorted one of `resources.hosts`.
    """
    named = hyperparameters.get(DISTRIBUTION_GROUPS)
    groups = named if isinstance(named, list) else [resources.current_group_name]
    found = [host for group in resources.instance_groups if group.instance_group_name in groups for host in group.hosts]
    return tuple(found) or resources.hosts


def encode_hyperparameters(values: Mapping[str, str]) -> dict[str, str]:
    """Return texts as SageMaker's SDK sends them: what is no JSON by itself becomes a JSON string."""
    return {name: as_json_text(text) for name, text in values.items()}


def write_job_files(files: JobFiles, hyperparameters: Mapping[str, str]) -> None:
    """Write the three files below the base, whose folders are there. Raises OSError."""
    documents: dict[str, object] = {
        "hyperparameters.json": hyperparameters,
        "inputdataconfig.json": files.channels,
        "resourceconfig.json": files.resources,
    }
    for name, document in documents.items():
        with open(os.path.join(config_dir(files.base_dir), name), "wb") as file:
            file.write(msgspec.json.encode(document))
