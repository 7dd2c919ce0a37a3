"""The environment variables of a job's processes, made from the instance's files as SageMaker's training toolkit does.

The toolkit derives SM_* from the three files. Under its MPI launch, every rank has the variables of the first host.
Here paths must be those of the rank's own instance, so variables are made from two sets of files. A test compares them
with the variables that the toolkit itself (5.1.4) makes from the same files.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import msgspec

from packer.channels.jobfiles import BASE_DIR_VARIABLE, DISTRIBUTION_GROUPS, JobFiles
from packer.localjob.job_spec import MPI_ENABLED, PROGRAM, Rank
from packer.parsing import parse_json

JOB_NAME = "sagemaker-local"
_PLATFORM = {
    "TRAINING_JOB_NAME": JOB_NAME,
    "TRAINING_JOB_ARN": f"arn:aws:sagemaker:us-east-1:000000000000:training-job/{JOB_NAME}",
}
_TOOLKIT_PREFIX = "sagemaker_"
"""Prefix of hyperparameters that belong to the toolkit and are not passed to the program."""
_CONSUMED = (
    *(PROGRAM, "sagemaker_submit_directory", "sagemaker_enable_cloudwatch_metrics", "sagemaker_region"),
    *("sagemaker_container_log_level", "sagemaker_job_name", "sagemaker_s3_output"),
)
"""Hyperparameters of the toolkit with variables of their own; all others are passed as parameters of the framework."""
_LOG_LEVEL = 20


def instance_variables(
    own: JobFiles, master: JobFiles, hyperparameters: Mapping[str, str], *, num_gpus: int
) -> dict[str, str]:
    """Return the variables that all processes of an instance share: of the platform, the base folder and the toolkit.

    Args:
        own: files of the instance; they decide the paths.
        master: files of the host whose variables the toolkit passes on; `own` if it passes none.
        hyperparameters: hyperparameters as in the file; each value is JSON.
        num_gpus: number of GPUs of an instance.
    """
    decoded = {name: parse_json(text) for name, text in hyperparameters.items()}
    program = {name: value for name, value in decoded.items() if not _is_toolkits(name)}
    paths, channels = _path_values(own), {name: own.folder(name) for name in own.channels}
    common = {
        **_resource_values(master, decoded, num_gpus),
        **paths,
        **_module_values(decoded, own),
        "input_data_config": msgspec.to_builtins(own.channels),
        "log_level": decoded.get("sagemaker_container_log_level", _LOG_LEVEL),
        "framework_module": None,
    }
    framework = {name: value for name, value in decoded.items() if _is_toolkits(name) and name not in _CONSUMED}
    values = {
        **common,
        "hps": program,
        "framework_params": framework,
        "channels": sorted(channels),
        "user_args": program_arguments(hyperparameters),
        "training_env": {
            **common,
            **_training_values(master, common),
            "hyperparameters": program,
            "additional_framework_parameters": framework,
            "channel_input_dirs": channels,
        },
        **{f"channel_{name}": folder for name, folder in channels.items()},
        **{f"hp_{name}": value for name, value in program.items()},
    }
    process = {
        "CURRENT_HOST": master.resources.current_host,
        "SAGEMAKER_JOB_NAME": str(decoded.get("sagemaker_job_name", "")),
        "SAGEMAKER_REGION": str(decoded.get("sagemaker_region", os.environ.get("AWS_DEFAULT_REGION", ""))),
    }
    return {BASE_DIR_VARIABLE: own.base_dir, **_PLATFORM, **process, **_as_variables(values)}


def program_arguments(hyperparameters: Mapping[str, str]) -> list[str]:
    """Return the options that the toolkit adds to the program's command line: all hyperparameters but its own."""
    decoded = {name: parse_json(text) for name, text in hyperparameters.items() if not _is_toolkits(name)}
    return [text for name in sorted(decoded) for text in _as_argument(name, decoded[name])]


def torchrun_variables(rank: Rank, *, world: int, local_size: int, port: int) -> dict[str, str]:
    """Return the variables that torchrun sets for one rank, with a master on this machine."""
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


def _is_toolkits(name: str) -> bool:
    return name.startswith(_TOOLKIT_PREFIX) or name in ("_tuning_objective_metric", "default_user_module_name")


def _resource_values(files: JobFiles, decoded: Mapping[str, object], num_gpus: int) -> dict[str, object]:
    resources = files.resources
    groups = msgspec.to_builtins(resources.instance_groups)
    hosts = {group.instance_group_name: list(group.hosts) for group in resources.instance_groups}
    named = [resources.current_group_name] if decoded.get(MPI_ENABLED) else []
    return {
        "hosts": list(resources.hosts),
        "current_host": resources.current_host,
        "current_instance_type": resources.current_instance_type,
        "current_instance_group": resources.current_group_name,
        "current_instance_group_hosts": hosts.get(resources.current_group_name, []),
        "instance_groups": list(hosts),
        "instance_groups_dict": {group["instance_group_name"]: group for group in groups},
        "distribution_instance_groups": decoded.get(DISTRIBUTION_GROUPS, named),
        "is_hetero": len(hosts) > 1,
        "network_interface_name": resources.network_interface_name,
        "resource_config": msgspec.to_builtins(resources),
        "num_gpus": num_gpus,
        "num_cpus": os.cpu_count() or 1,
        "num_neurons": 0,
    }


def _training_values(master: JobFiles, common: Mapping[str, object]) -> dict[str, object]:
    """Return the values that only SM_TRAINING_ENV has."""
    distribution = common["distribution_instance_groups"]
    named = distribution if isinstance(distribution, list) else []
    groups = [group for group in master.resources.instance_groups if group.instance_group_name in named]
    hosts = [host for group in groups for host in group.hosts]
    first = next(iter(hosts or master.resources.hosts))
    return {
        "distribution_hosts": hosts,
        "master_hostname": first,
        "is_master": master.resources.current_host == first,
        "job_name": JOB_NAME,
        "topology": [],
        "is_modelparallel_enabled": None,
        "is_smddprun_installed": False,
        "is_smddpmprun_installed": False,
    }


def _module_values(decoded: Mapping[str, object], files: JobFiles) -> dict[str, object]:
    program = str(decoded.get(PROGRAM))
    return {
        "user_entry_point": program,
        "module_name": program.removesuffix(".py"),
        "module_dir": str(decoded.get("sagemaker_submit_directory", os.path.join(files.base_dir, "code"))),
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
    if isinstance(value, dict):
        text = ",".join(f"{key}={item}" for key, item in sorted(value.items()))
    else:
        text = "" if value is None else str(value)
    return ("--" if len(name) > 1 else "-") + name, text


def _as_variables(values: Mapping[str, object]) -> dict[str, str]:
    return {f"SM_{name.upper()}": _as_text(value) for name, value in values.items()}


def _as_text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value, order="sorted").decode()
