"""The variables that a rank sees, from the files of its instance.

SageMaker's training toolkit derives SM_* from the three files. Under its MPI launch every rank has those of the first
host, except that paths mean the rank's own container; so they are made here from two sets of files.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import msgspec

from packer.channels.jobfiles import BASE_DIR_VARIABLE, JobFiles
from packer.localjob.job_spec import Rank
from packer.parsing import parse_json

JOB_NAME = "sagemaker-local"
_PLATFORM = {
    "TRAINING_JOB_NAME": JOB_NAME,
    "TRAINING_JOB_ARN": f"arn:aws:sagemaker:us-east-1:000000000000:training-job/{JOB_NAME}",
}
_FRAMEWORK_PREFIX = "sagemaker_"
"""Hyperparameters that are the toolkit's own and not shown to the program."""


def instance_variables(
    own: JobFiles, master: JobFiles, hyperparameters: Mapping[str, str], *, num_gpus: int
) -> dict[str, str]:
    """Return what every rank of an instance has: the platform's variables, the base and the toolkit's SM_*.

    Args:
        own: files of the instance, whose paths count.
        master: files of the host from which the toolkit passes its variables on; `own` where it passes none.
        hyperparameters: as in the file, each value JSON.
        num_gpus: GPUs of an instance.
    """
    decoded = {name: parse_json(text) for name, text in hyperparameters.items()}
    program = {name: value for name, value in decoded.items() if not name.startswith(_FRAMEWORK_PREFIX)}
    framework = {name: value for name, value in decoded.items() if name.startswith(_FRAMEWORK_PREFIX)}
    values: dict[str, object] = {
        **_resource_values(master, num_gpus),
        **_path_values(own),
        "hps": program,
        "framework_params": framework,
        "input_data_config": msgspec.to_builtins(own.channels),
        "channels": sorted(own.channels),
        "user_args": program_arguments(hyperparameters),
        "log_level": 20,
    }
    values["training_env"] = values | {"is_master": own.resources.current_host == master.resources.current_host}
    values |= {f"channel_{name}": own.folder(name) for name in own.channels}
    values |= {f"hp_{name}": value for name, value in program.items()}
    return {BASE_DIR_VARIABLE: own.base_dir, **_PLATFORM, **_as_variables(values)}


def program_arguments(hyperparameters: Mapping[str, str]) -> list[str]:
    """Return what the toolkit adds to the program's command line: each hyperparameter but its own as an option."""
    decoded = {
        name: parse_json(text) for name, text in hyperparameters.items() if not name.startswith(_FRAMEWORK_PREFIX)
    }
    return [text for name in sorted(decoded) for text in _as_argument(name, decoded[name])]


def torchrun_variables(rank: Rank, *, world: int, local_size: int, port: int) -> dict[str, str]:
    """Return what torchrun sets for one rank; its master is on this machine."""
    values = {
        "RANK": rank.rank,
        "LOCAL_RANK": rank.local_rank,
        "WORLD_SIZE": world,
        "LOCAL_WORLD_SIZE": local_size,
        "GROUP_RANK": rank.rank // local_size,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
    }
    return {name: str(value) for name, value in values.items()}


def _resource_values(files: JobFiles, num_gpus: int) -> dict[str, object]:
    resources = files.resources
    groups = msgspec.to_builtins(resources.instance_groups)
    return {
        "hosts": list(resources.hosts),
        "current_host": resources.current_host,
        "current_instance_type": resources.current_instance_type,
        "current_instance_group": resources.current_group_name,
        "current_instance_group_hosts": [host for group in resources.instance_groups for host in group.hosts],
        "instance_groups": [group.instance_group_name for group in resources.instance_groups],
        "instance_groups_dict": {group["instance_group_name"]: group for group in groups},
        "distribution_instance_groups": [],
        "is_hetero": False,
        "network_interface_name": resources.network_interface_name,
        "resource_config": msgspec.to_builtins(resources),
        "num_gpus": num_gpus,
        "num_cpus": os.cpu_count() or 1,
        "num_neurons": 0,
    }


def _path_values(files: JobFiles) -> dict[str, object]:
    parts = {
        "input_dir": "input",
        "input_config_dir": "input/config",
        "output_dir": "output",
        "output_data_dir": "output/data",
        "output_intermediate_dir": "output/intermediate",
        "model_dir": "model",
    }
    return {name: os.path.join(files.base_dir, part) for name, part in parts.items()}


def _as_argument(name: str, value: object) -> tuple[str, str]:
    return ("--" if len(name) > 1 else "-") + name, "" if value is None else str(value)


def _as_variables(values: Mapping[str, object]) -> dict[str, str]:
    return {f"SM_{name.upper()}": _as_text(value) for name, value in values.items()}


def _as_text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value, order="sorted").decode()
