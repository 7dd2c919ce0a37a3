import pytest

from packer.channels.channel_names import InputMode
from packer.channels.channel_plan import Cluster, plan_channels
from packer.sagemaker.input_data import DataPlace
from packer.sagemaker.training_request import JobSpec, build_job
from tests.stores.conftest import bucket, endpoint, moto_endpoint  # noqa: F401
from tests.tools.manifests import make_manifest

ROLE = "arn:aws:iam::123456789012:role/training"
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/train:1"


@pytest.fixture
def job() -> dict:
    """A sound request: a job of two instances with two ranks each that reads six channels, in spot capacity."""
    cluster = Cluster(instances=2, gpus_per_instance=2)
    manifest = make_manifest({"train": 8, "val": 4}, world=4)
    plans = plan_channels(manifest, cluster, mode=InputMode.PIPE, shuffle_seed=7)
    spec = JobSpec(
        name="first", image=IMAGE, role=ROLE, output="s3://bucket/out", instance_type="ml.g5.12xlarge",
        max_run_s=3600, max_wait_s=7200, checkpoint="s3://bucket/checkpoints",
    )  # fmt: skip
    return build_job(spec, plans, DataPlace(root="s3://bucket/set"), cluster)
