"""Every request that the options can ask for is valid by the description of the API, by our rules, and to moto."""

import uuid

import boto3
import pytest
from botocore.session import Session
from botocore.validate import ParamValidator
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from packer.channels.channel_names import InputMode
from packer.channels.channel_plan import feedable, plan_channels
from packer.sagemaker.job_options import SageMakerOptions
from packer.sagemaker.rules import training_job_faults
from packer.sagemaker.training_request import build_job
from tests.sagemaker.conftest import IMAGE, ROLE
from tests.tools.manifests import make_manifest

SHAPE = Session().get_service_model("sagemaker").operation_model("CreateTrainingJob").input_shape
NAMES = st.text("abcXYZ09_", min_size=1, max_size=8).filter(lambda name: not name[0].isdigit())
VALUES = st.text("ab XYZ=0.-", max_size=8)


def pairs(*, max_size: int) -> st.SearchStrategy:
    return st.dictionaries(NAMES, VALUES, max_size=max_size).map(
        lambda found: tuple(f"{name}={value}" for name, value in found.items())
    )


@st.composite
def job_options(draw: st.DrawFn) -> SageMakerOptions:
    """Draw the options of one job on as many ranks as its instances have."""
    mode, spot = draw(st.sampled_from(InputMode)), draw(st.booleans())
    max_run_s = draw(st.integers(1, 100_000))
    is_file_system = mode is InputMode.FILE_SYSTEM
    network = is_file_system or draw(st.booleans())
    instances, is_mixed = draw(st.integers(1, 4)), draw(st.booleans())
    kind = draw(st.sampled_from(["ml.c5.9xlarge", "ml.g5.12xlarge", "ml.p4d.24xlarge"]))
    is_fed = is_mixed and mode is not InputMode.PIPE and draw(st.booleans())
    is_shuffled = mode in (InputMode.FILE, InputMode.PIPE) and not is_fed
    return SageMakerOptions(
        instances=None if is_mixed else instances,
        instance_group=(f"gpu={kind}:{instances}", "cpu=ml.c5.9xlarge:2") if is_mixed else (),
        train_group="gpu" if is_mixed else None,
        data_group="cpu" if is_fed else None,
        gpus_per_instance=draw(st.integers(1, 8)),
        mode=mode,
        shuffle_seed=draw(st.none() | st.integers(0, 9)) if is_shuffled else None,
        file_system_id="fs-01234567" if is_file_system else None,
        directory_path="/set" if is_file_system else None,
        image=IMAGE,
        role=ROLE,
        output="s3://bucket/out",
        instance_type="" if is_mixed else kind,
        volume_gb=draw(st.integers(1, 16_000)),
        max_run_s=max_run_s,
        spot=spot,
        max_wait_s=draw(st.none() | st.integers(max_run_s, 200_000)) if spot else None,
        checkpoint="s3://bucket/ck" if spot or draw(st.booleans()) else "",
        hyperparameter=draw(st.sampled_from([(), ("epochs=3",), ("model=a=b", "seed=7")])),
        subnets="subnet-1,subnet-2" if network else None,
        security_groups="sg-1" if network else None,
        keep_alive_s=None if spot or is_mixed else draw(st.none() | st.integers(0, 21_600)),
        job_tag=draw(pairs(max_size=3)),
        environment=draw(pairs(max_size=3)),
        network_isolation=draw(st.booleans()),
        encrypt_traffic=draw(st.booleans()),
        job_retries=draw(st.none() | st.integers(1, 30)),
        max_pending_s=draw(st.none() | st.integers(7200, 2_419_200)),
    )


def make_job(options: SageMakerOptions, *, kms_key: str = "", evaluated: bool = True) -> dict:
    cluster = options.cluster()
    splits = {"train": cluster.world, **({"val": cluster.world} if evaluated else {})}
    plans = plan_channels(make_manifest(splits), cluster, mode=options.input_mode(), shuffle_seed=options.shuffle_seed)
    plans = feedable(plans) if options.data_group else plans
    spec = options.job_spec(default_name=f"job-{uuid.uuid4().hex}", kms_key=kms_key)
    return build_job(spec, plans, options.place("s3://bucket/set"), cluster)


@pytest.mark.parametrize("endpoint", ["moto"], indirect=True)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(options=job_options(), kms_key=st.sampled_from(["", "alias/birds"]), evaluated=st.booleans())
def test_every_request_is_taken(
    endpoint: str, sagemaker_client: object, options: SageMakerOptions, kms_key: str, evaluated: bool
) -> None:
    assume(not any(tag.startswith("aws") for tag in options.job_tag))
    request = make_job(options, kms_key=kms_key, evaluated=evaluated)
    assert training_job_faults(request) == []
    assert ParamValidator().validate(request, SHAPE).generate_report() == ""
    sagemaker_client.create_training_job(**request)  # type: ignore[attr-defined]
    found = sagemaker_client.describe_training_job(TrainingJobName=request["TrainingJobName"])  # type: ignore[attr-defined]
    kept = ("InputDataConfig", "ResourceConfig", "HyperParameters", "StoppingCondition", "OutputDataConfig", "RoleArn")
    assert {name: found[name] for name in kept} == {name: request[name] for name in kept}


@pytest.fixture
def sagemaker_client(endpoint: str) -> object:
    return boto3.Session().client("sagemaker", endpoint_url=endpoint)
