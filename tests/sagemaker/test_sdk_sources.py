"""The source for either version of SageMaker's Python SDK starts the job that the request describes."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from packer.channels.channel_names import InputMode
from packer.errors import OptionsError
from packer.sagemaker.job_options import SageMakerOptions
from packer.sagemaker.sdk2 import format_sdk2_source
from packer.sagemaker.sdk3 import _snake, format_sdk3_source
from tests.sagemaker.conftest import IMAGE, ROLE
from tests.sagemaker.test_every_request import make_job
from tests.tools.datasets import ROOT

SIMPLE: dict[str, Any] = {
    "instances": 2, "gpus_per_instance": 2, "mode": InputMode.FAST_FILE, "image": IMAGE, "role": ROLE,
    "output": "s3://bucket/out", "instance_type": "ml.c5.9xlarge",
}  # fmt: skip
NETWORK = {"subnets": "subnet-1,subnet-2", "security_groups": "sg-1"}
GROUPS = {"instance_group": ("gpu=ml.g5.12xlarge:2", "cpu=ml.c5.9xlarge:3"), "train_group": "gpu", "instance_type": ""}
OF_ALL: list[dict] = [
    {"mode": InputMode.FILE, "name": "first", "shuffle_seed": 5, "encrypt_traffic": True},
    {"mode": InputMode.PIPE, "shuffle_seed": 7, "spot": True, "checkpoint": "s3://bucket/ck", "max_wait_s": 90_000},
    {"mode": InputMode.FILE_SYSTEM, "file_system_id": "fs-01234567", "directory_path": "/set", **NETWORK},
    {**GROUPS, "data_group": "cpu", "hyperparameter": ("epochs=3", "model=it's \"a\" \\ b"), "network_isolation": True},
    {
        **NETWORK, "keep_alive_s": 600, "job_tag": ("team=birds", "note=a b"), "environment": ("A=b=c", "B="),
        "network_isolation": True, "encrypt_traffic": True, "job_retries": 3,
    },
]  # fmt: skip
OF_VERSION = {2: OF_ALL, 3: [*OF_ALL, {"max_pending_s": 7200}]}
FORMATS = {2: format_sdk2_source, 3: format_sdk3_source}


@pytest.mark.slow
@pytest.mark.parametrize("version", [2, 3])
def test_the_sdk_sends_the_same_request(version: int, tmp_path: Path) -> None:
    python = ROOT / {2: ".venv-sdk", 3: ".venv-sdk3"}[version] / "bin/python"
    if not python.exists():
        pytest.skip(f"no environment with version {version} of SageMaker's Python SDK: make test-all makes one")
    jobs = [make_job(SageMakerOptions(**SIMPLE | values), kms_key="alias/birds") for values in OF_VERSION[version]]
    paths = [tmp_path / f"job{index}.py" for index in range(len(jobs))]
    for path, job in zip(paths, jobs, strict=True):
        path.write_text(FORMATS[version](job))
    script = [str(python), str(ROOT / "tests/tools/render_sdk.py"), *map(str, paths)]
    done = subprocess.run(script, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    sent = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(sent) == len(jobs)
    for found, job in zip(sent, jobs, strict=True):
        found.pop("TrainingJobName")
        if version == 2:  # which has it said that nothing is profiled
            assert found.pop("ProfilerConfig") == {"DisableProfiler": True}
            for channel in found["InputDataConfig"]:  # and channels of file systems have the mode of the job
                channel.setdefault("InputMode", found["AlgorithmSpecification"]["TrainingInputMode"])
        assert found == {name: value for name, value in job.items() if name != "TrainingJobName"}


def test_version_2_has_no_bound_for_waiting() -> None:
    job = make_job(SageMakerOptions(**SIMPLE, max_pending_s=7200))
    with pytest.raises(OptionsError, match="`max_pending_s`: expected without `sdk_version=2`, which has no such"):
        format_sdk2_source(job)


def test_what_version_3_would_leave_out() -> None:
    tagged = make_job(SageMakerOptions(**SIMPLE, job_tag=("team=birds", "new=")))
    with pytest.raises(OptionsError, match="`job_tag`: expected a value for new with `sdk_version=3`, which leaves"):
        format_sdk3_source(tagged)
    job = make_job(SageMakerOptions(**SIMPLE | {"mode": InputMode.FILE, "shuffle_seed": 0}))
    with pytest.raises(OptionsError, match="`shuffle_seed`: expected another than 0 with `sdk_version=3`"):
        format_sdk3_source(job)
    assert "ShuffleConfig(0)" in format_sdk2_source(job)


@pytest.mark.parametrize(
    ("member", "name"),
    [
        ("VolumeSizeInGB", "volume_size_in_gb"),
        ("S3DataSource", "s3_data_source"),
        ("VolumeKmsKeyId", "volume_kms_key_id"),
        ("EnableInterContainerTrafficEncryption", "enable_inter_container_traffic_encryption"),
    ],
)
def test_members_as_version_3_calls_them(member: str, name: str) -> None:
    assert _snake(member) == name
