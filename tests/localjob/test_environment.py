"""Variables of ranks, compared with what SageMaker's training toolkit 5.1.4 makes of the same files."""

from __future__ import annotations

import json

from packer.channels.channel_names import InputMode
from packer.channels.channel_plan import ChannelPlan, Cluster
from packer.channels.jobfiles import JobFiles
from packer.localjob.environment import instance_variables, torchrun_variables
from packer.localjob.job_spec import LocalJob, Rank
from packer.localjob.tree import describe_instance

CLUSTER = Cluster(instances=2, gpus_per_instance=4)
JOB = LocalJob(dest="x", cluster=CLUSTER, mode=InputMode.PIPE, command=("true",))
PLANS = [ChannelPlan(name=name, split=name, mode=InputMode.PIPE, sharded=True, keys=()) for name in ("val0", "train0")]


def describe(host: str) -> JobFiles:
    return describe_instance(JOB, host, PLANS, base="/b")


def test_variables_are_those_of_the_toolkit() -> None:
    own = describe("algo-2")
    given = {"epochs": "3", "name": '"a b"', "sizes": "[1,2]", "x": "null", "sagemaker_mpi_enabled": "true"}
    variables = instance_variables(own, own, given, num_gpus=4)
    resources = {
        "current_group_name": "homogeneousCluster",
        "current_host": "algo-2",
        "current_instance_type": "local",
        "hosts": ["algo-1", "algo-2"],
        "instance_groups": [
            {"hosts": ["algo-2", "algo-1"], "instance_group_name": "homogeneousCluster", "instance_type": "local"}
        ],
        "network_interface_name": "lo",
    }
    expected = {
        "SAGEMAKER_BASE_DIR": "/b/algo-2/opt/ml",
        "TRAINING_JOB_NAME": "sagemaker-local",
        "SM_CHANNELS": '["train0","val0"]',
        "SM_CHANNEL_TRAIN0": "/b/algo-2/opt/ml/input/data/train0",
        "SM_CURRENT_HOST": "algo-2",
        "SM_CURRENT_INSTANCE_GROUP": "homogeneousCluster",
        "SM_CURRENT_INSTANCE_GROUP_HOSTS": '["algo-2","algo-1"]',
        "SM_HOSTS": '["algo-1","algo-2"]',
        "SM_HPS": '{"epochs":3,"name":"a b","sizes":[1,2],"x":null}',
        "SM_HP_EPOCHS": "3",
        "SM_HP_NAME": "a b",
        "SM_HP_X": "",
        "SM_HP_SIZES": "[1,2]",
        "SM_FRAMEWORK_PARAMS": '{"sagemaker_mpi_enabled":true}',
        "SM_INPUT_CONFIG_DIR": "/b/algo-2/opt/ml/input/config",
        "SM_INSTANCE_GROUPS": '["homogeneousCluster"]',
        "SM_IS_HETERO": "false",
        "SM_MODEL_DIR": "/b/algo-2/opt/ml/model",
        "SM_OUTPUT_DATA_DIR": "/b/algo-2/opt/ml/output/data",
        "SM_NUM_GPUS": "4",
        "SM_RESOURCE_CONFIG": json.dumps(resources, separators=(",", ":"), sort_keys=True),
        "SM_USER_ARGS": '["--epochs","3","--name","a b","--sizes","[1, 2]","-x",""]',
    }
    assert {name: variables[name] for name in expected} == expected
    assert json.loads(variables["SM_TRAINING_ENV"])["channels"] == ["train0", "val0"]


def test_under_mpi_the_host_is_the_masters_and_paths_are_the_own() -> None:
    variables = instance_variables(describe("algo-1"), describe("algo-2"), {}, num_gpus=4)
    assert variables["SM_CURRENT_HOST"] == "algo-2"
    assert json.loads(variables["SM_RESOURCE_CONFIG"])["current_host"] == "algo-2"
    assert variables["SM_CHANNEL_TRAIN0"] == "/b/algo-1/opt/ml/input/data/train0"
    assert variables["SAGEMAKER_BASE_DIR"] == "/b/algo-1/opt/ml"


def test_torchrun_variables_count_from_the_instance() -> None:
    rank = Rank(rank=5, local_rank=1, host="algo-2")
    assert torchrun_variables(rank, world=8, local_size=4, port=29500) == {
        "RANK": "5",
        "LOCAL_RANK": "1",
        "WORLD_SIZE": "8",
        "LOCAL_WORLD_SIZE": "4",
        "GROUP_RANK": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "29500",
    }
