"""Pipelines: their steps are requests that pass, they refer to what is there, and they read what the trainer writes."""

import copy
import json
from typing import Any

import boto3
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.main import get_command

from packer.errors import OptionsError
from packer.sagemaker.documents import advise_on, check_document
from packer.sagemaker.pipeline_rules import pipeline_faults
from packer.sagemaker.pipelines import ACCURACY_PATH, EXECUTION, PipelineSpec, build_pipeline
from packer.trainer.cli import app
from packer.trainer.core.metrics import Evaluation, EvaluationResult
from tests.sagemaker.conftest import IMAGE
from tests.sagemaker.editing import GONE, JSON_VALUES, edited, paths_in

DATASET = "s3://bucket/set-runs/0123456789abcdef-2x2"
RUN = {"Get": "Execution.PipelineExecutionId"}


def spec(**values: Any) -> PipelineSpec:
    given: dict[str, Any] = {
        "pack_image": "pack:1",
        "pack_arguments": ("pack", "s3://bucket/photos", DATASET, "--resume"),
        "dataset": DATASET,
        "instance_type": "ml.c5.4xlarge",
        "volume_gb": 30,
        "eval_split": "val",
        "min_accuracy": 0.75,
        "model_package_group": "birds",
        "inference_image": "serve:1",
        "hyperparameters": ("image-size", "note"),
    }
    return PipelineSpec(**given | values)


@pytest.fixture
def in_run(job: dict) -> dict:
    """The job, of one execution."""
    job["CheckpointConfig"]["S3Uri"] = f"s3://bucket/checkpoints/{EXECUTION}"
    job["HyperParameters"] |= {"image-size": "128", "note": '"a b"'}
    return job


def joined(*values: object) -> dict:
    return {"Std:Join": {"On": "", "Values": list(values)}}


def test_the_steps(in_run: dict) -> None:
    definition = build_pipeline(spec(), in_run)
    assert definition["Version"] == "2020-12-01"
    pack, train, evaluate, decide = definition["Steps"]
    assert [step["Name"] for step in definition["Steps"]] == ["Pack", "Train", "Evaluate", "IsGoodEnough"]
    assert [step.get("DependsOn") for step in definition["Steps"]] == [None, ["Pack"], ["Train"], ["Evaluate"]]
    checkpoints = joined("s3://bucket/checkpoints/", RUN)

    assert pack["Arguments"]["AppSpecification"] == {
        "ImageUri": {"Get": "Parameters.PackImage"},
        "ContainerEntrypoint": ["shardpack"],
        "ContainerArguments": ["pack", "s3://bucket/photos", DATASET, "--resume"],
    }
    assert pack["CacheConfig"] == {"Enabled": True, "ExpireAfter": "P30D"}
    assert "TrainingJobName" not in train["Arguments"]
    assert train["Arguments"]["CheckpointConfig"]["S3Uri"] == checkpoints
    assert evaluate["Arguments"]["ProcessingInputs"][0]["S3Input"]["S3Uri"] == checkpoints
    command = evaluate["Arguments"]["AppSpecification"]
    assert command["ImageUri"] == {"Get": "Parameters.TrainImage"}
    assert train["Arguments"]["AlgorithmSpecification"]["TrainingImage"] == command["ImageUri"]
    assert train["Arguments"]["ResourceConfig"]["InstanceType"] == {"Get": "Parameters.TrainInstanceType"}
    assert train["Arguments"]["HyperParameters"]["note"] == {"Get": "Parameters.Note"}
    assert command["ContainerEntrypoint"] == ["python", "-m", "packer.trainer"]
    arguments = command["ContainerArguments"]
    assert arguments[0] == "--evaluate-only"
    assert dict(zip(arguments[1::2], map(str, arguments[2::2]), strict=True)) == {
        "--data": DATASET,
        "--model-dir": "/opt/ml/processing/model",
        "--eval-split": "val",
        "--metrics": "/opt/ml/processing/metrics/metrics.json",
        "--image-size": str({"Get": "Parameters.ImageSize"}),
        "--note": str({"Get": "Parameters.Note"}),
    }
    (output,) = evaluate["Arguments"]["ProcessingOutputConfig"]["Outputs"]
    (file,) = evaluate["PropertyFiles"]
    assert (file["OutputName"], file["FilePath"]) == (output["OutputName"], "metrics.json")

    (condition,) = decide["Arguments"]["Conditions"]
    assert condition["LeftValue"]["Std:JsonGet"]["PropertyFile"] == {"Get": "Steps.Evaluate.PropertyFiles.Metrics"}
    assert {parameter["Name"]: parameter["DefaultValue"] for parameter in definition["Parameters"]} == {
        "TrainImage": IMAGE, "PackImage": "pack:1", "TrainInstanceType": "ml.g5.12xlarge",
        "ProcessingInstanceType": "ml.c5.4xlarge", "MinAccuracy": 0.75, "ModelApprovalStatus": "PendingManualApproval",
        "ImageSize": "128", "Note": "a b",
    }  # fmt: skip
    (register,), (fail,) = decide["Arguments"]["IfSteps"], decide["Arguments"]["ElseSteps"]
    (container,) = register["Arguments"]["InferenceSpecification"]["Containers"]
    assert container["Image"] == "serve:1"
    assert container["ModelDataUrl"] == {"Get": "Steps.Train.ModelArtifacts.S3ModelArtifacts"}
    assert (register["Type"], fail["Type"]) == ("RegisterModel", "Fail")
    assert "${" not in json.dumps(definition)


def test_several_instances_pack_a_part_each_and_one_commits(in_run: dict) -> None:
    definition = build_pipeline(spec(pack_instances=3, cache_days=0), in_run)
    pack, commit, train = definition["Steps"][:3]
    assert pack["Arguments"]["ProcessingResources"]["ClusterConfig"]["InstanceCount"] == 3
    assert pack["Arguments"]["AppSpecification"]["ContainerEntrypoint"] == [
        "python",
        "-m",
        "packer.cli.processing_host",
    ]
    assert commit["Arguments"]["ProcessingResources"]["ClusterConfig"]["InstanceCount"] == 1
    assert commit["Arguments"]["AppSpecification"]["ContainerArguments"] == ["commit", DATASET]
    assert (commit["DependsOn"], train["DependsOn"]) == (["Pack"], ["Commit"])
    assert "CacheConfig" not in pack


def test_what_fails_for_aws_own_reasons_is_tried_again(in_run: dict) -> None:
    """The names of causes are those of the SDK's enumerations; the SDK's own bounds are 20 attempts."""
    causes = {"Step.SERVICE_FAULT", "Step.THROTTLING", "SageMaker.JOB_INTERNAL_ERROR", "SageMaker.CAPACITY_ERROR",
              "SageMaker.RESOURCE_LIMIT"}  # fmt: skip
    for step in build_pipeline(spec(pack_instances=2), in_run)["Steps"][:4]:
        policies = step["RetryPolicies"]
        assert {cause for policy in policies for cause in policy["ExceptionType"]} == causes
        assert all(0 < policy["MaxAttempts"] <= 20 and policy["BackoffRate"] >= 1 for policy in policies)


def test_without_a_group_nothing_is_registered(in_run: dict) -> None:
    decide = build_pipeline(spec(model_package_group="", inference_image=""), in_run)["Steps"][3]
    assert decide["Arguments"]["IfSteps"] == []
    assert [step["Type"] for step in decide["Arguments"]["ElseSteps"]] == ["Fail"]


def test_processing_containers_are_told_their_region(in_run: dict) -> None:
    image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/pack:1"
    pack, _, evaluate, _ = build_pipeline(spec(pack_image=image), in_run)["Steps"]
    assert pack["Arguments"]["Environment"] == {"AWS_DEFAULT_REGION": "eu-west-1"}
    assert evaluate["Arguments"]["Environment"] == {"AWS_DEFAULT_REGION": "us-east-1"}
    assert "Environment" not in build_pipeline(spec(), in_run)["Steps"][0]["Arguments"]


def test_a_whole_request(in_run: dict) -> None:
    definition = build_pipeline(spec(), in_run)
    request = {
        "PipelineName": "birds",
        "PipelineDefinition": json.dumps(definition),
        "RoleArn": in_run["RoleArn"],
        "ClientRequestToken": "t" * 32,
    }
    assert check_document(request) == []
    for name, value, said in (
        ("PipelineName", "a_b", "PipelineName: expected text that matches"),
        ("PipelineDefinition", "{", "PipelineDefinition: expected JSON, but"),
        ("PipelineDefinition", " " * (2**20 + 1), "PipelineDefinition: expected at most 1048576 characters"),
        ("PipelineDefinition", "{}", "PipelineDefinition: the definition: Object missing required field `Version`"),
        ("ClientRequestToken", "t", "ClientRequestToken: expected at least 32 characters, found 1"),
    ):
        (fault,) = check_document({**request, name: value})
        assert fault.startswith(said)


def test_every_step_is_in_the_network_of_the_job(in_run: dict) -> None:
    in_run["VpcConfig"] = {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
    pack, _, evaluate, _ = build_pipeline(spec(), in_run)["Steps"]
    for step in (pack, evaluate):
        assert step["Arguments"]["NetworkConfig"] == {"VpcConfig": in_run["VpcConfig"]}


def test_settings_of_the_job_reach_the_steps_that_have_a_place_for_them(in_run: dict) -> None:
    in_run |= {
        "Tags": [{"Key": "team", "Value": "birds"}],
        "Environment": {"HTTPS_PROXY": "http://proxy:3128"},
        "EnableNetworkIsolation": True,
        "EnableInterContainerTrafficEncryption": True,
        "RetryStrategy": {"MaximumRetryAttempts": 2},
    }
    pack, train, evaluate, _ = build_pipeline(spec(), in_run)["Steps"]
    for name in ("Tags", "Environment", "EnableNetworkIsolation", "RetryStrategy"):
        assert train["Arguments"][name] == in_run[name]
    for step in (pack, evaluate):
        assert step["Arguments"]["Tags"] == in_run["Tags"]
        assert step["Arguments"]["Environment"]["HTTPS_PROXY"] == "http://proxy:3128"
        assert step["Arguments"]["NetworkConfig"] == {"EnableInterContainerTrafficEncryption": True}
    assert evaluate["Arguments"]["Environment"]["AWS_DEFAULT_REGION"] == "us-east-1"


def test_the_accuracy_is_where_the_trainer_writes_it() -> None:
    result = EvaluationResult(loss=1.5, accuracy=0.25, records=4, steps=2)
    written = Evaluation(manifest_digest="1", split="val", world=1, batch_size=2, epochs_done=3, evaluation=result)
    found = json.loads(msgspec.json.encode(written))
    for name in ACCURACY_PATH.split("."):
        found = found[name]
    assert found == 0.25


def test_the_trainer_has_the_options_that_it_is_given(in_run: dict) -> None:
    del in_run["HyperParameters"]["note"]
    known = {name for param in get_command(app).params for name in param.opts}
    evaluate = build_pipeline(spec(hyperparameters=("image-size",)), in_run)["Steps"][2]
    arguments = evaluate["Arguments"]["AppSpecification"]["ContainerArguments"]
    assert {text for text in arguments if str(text).startswith("--")} <= known
    given = {f"--{name}" for name in in_run["HyperParameters"] if not name.startswith("sagemaker_")}
    assert given == {"--model-dir", "--export", "--metrics", "--eval-split", "--image-size"}
    assert given <= known


@pytest.mark.parametrize("endpoint", ["moto"], indirect=True)
def test_a_server_takes_the_definition(in_run: dict, endpoint: str) -> None:
    client = boto3.Session().client("sagemaker", endpoint_url=endpoint)
    definition = json.dumps(build_pipeline(spec(), in_run))
    client.create_pipeline(PipelineName="birds", PipelineDefinition=definition, RoleArn=in_run["RoleArn"],
                           ClientRequestToken="t" * 32)  # fmt: skip
    assert client.describe_pipeline(PipelineName="birds")["PipelineDefinition"] == definition


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"eval_split": ""}, "`pipeline`: expected a data set with a split to evaluate"),
        ({"min_accuracy": 1.5}, "`min_accuracy`: expected a share from 0 to 1, got 1.5"),
        ({"pack_image": ""}, "`pack_image`: expected the image"),
        ({"inference_image": ""}, "`inference_image`: expected together with `model_package_group`"),
        ({"model_package_group": ""}, "`inference_image`: expected together with `model_package_group`"),
        (
            {"instance_type": "ml.x"},
            r"Steps\[0\].*ClusterConfig.InstanceType: expected one of",
        ),
        ({"pack_arguments": ("x" * 257,)}, r"ContainerArguments\[0\]: expected at most 256 characters, found 257"),
        ({"model_package_group": "a b"}, "ModelPackageGroupName: expected text that matches"),
    ],
)
def test_pipelines_that_are_refused(in_run: dict, values: dict, said: str) -> None:
    with pytest.raises(OptionsError, match=said):
        build_pipeline(spec(**values), in_run)


def test_a_key_reaches_every_step_that_writes(in_run: dict) -> None:
    in_run["OutputDataConfig"]["KmsKeyId"] = "alias/birds"
    pack, train, evaluate, _ = build_pipeline(spec(), in_run)["Steps"]
    assert train["Arguments"]["OutputDataConfig"]["KmsKeyId"] == "alias/birds"
    assert evaluate["Arguments"]["ProcessingOutputConfig"]["KmsKeyId"] == "alias/birds"
    for step in (pack, evaluate):
        assert step["Arguments"]["ProcessingResources"]["ClusterConfig"]["VolumeKmsKeyId"] == "alias/birds"
    with_disks = build_pipeline(spec(instance_type="ml.g5.2xlarge"), in_run)["Steps"][0]
    assert "VolumeKmsKeyId" not in with_disks["Arguments"]["ProcessingResources"]["ClusterConfig"]


def test_a_job_without_checkpoints_cannot_be_evaluated(in_run: dict) -> None:
    del in_run["CheckpointConfig"]
    with pytest.raises(OptionsError, match="`checkpoint`: expected a place for the checkpoints"):
        build_pipeline(spec(), in_run)


def broken(definition: dict, edit: Any) -> str:
    definition = copy.deepcopy(definition)
    edit(definition["Steps"])
    return "\n".join(pipeline_faults(definition))


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda steps: steps[1].update(Name="Pack"), "Steps[0].Name: expected 1 to 64 letters"),
        (lambda steps: steps[1].update(Name="a b"), "Steps[1].Name: expected 1 to 64 letters"),
        (lambda steps: steps[1].update(Type="Painting"), "Steps[1].Type: expected one of AutoML, Callback"),
        (lambda steps: steps[1].update(DependsOn=["Paint"]), "Steps[1].DependsOn: expected names of other steps"),
        (lambda steps: steps[1].pop("Type"), "the definition: Object missing required field `Type`"),
        (lambda steps: steps[1]["Arguments"].pop("RoleArn"), "Steps[1].Arguments.RoleArn: expected a value"),
        (lambda steps: steps.clear(), "Steps: expected one or more, found none"),
        (
            lambda steps: steps[3]["Arguments"]["Conditions"][0].update(RightValue={"Get": "Parameters.Most"}),
            "Steps[3]: expected a reference to a step or parameter that is there, found 'Parameters.Most'",
        ),
        (
            lambda steps: steps[3]["Arguments"]["IfSteps"][0]["Arguments"].update(ModelApprovalStatus="Perhaps"),
            "Steps[3].Arguments.IfSteps[0].Arguments.ModelApprovalStatus: expected one of",
        ),
        (
            lambda steps: steps[0]["Arguments"]["AppSpecification"].update(ImageUri={"Get": "Execution.X", "x": 1}),
            "Steps[0].Arguments.AppSpecification.ImageUri: expected text, found",
        ),
        (lambda steps: steps[3]["Arguments"].update(IfSteps=5), "the definition: Expected `array`, got `int`"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_definition(in_run: dict, edit: Any, said: str) -> None:
    definition = build_pipeline(spec(), in_run)
    assert list(pipeline_faults(definition)) == []
    assert said in broken(definition, edit)


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_stands_in_a_definition_is_checked_without_an_error(in_run: dict, data: st.DataObject) -> None:
    definition = build_pipeline(spec(), in_run)
    path = data.draw(st.sampled_from([path for path in paths_in(definition) if ":" not in path]))
    changed = edited(definition, (path, data.draw(st.just(GONE) | JSON_VALUES)))
    assert all(isinstance(fault, str) and fault for fault in pipeline_faults(changed))


OTHER_STEPS = {
    "EMR": {"ClusterId": "j-1", "StepConfig": {"HadoopJarStep": {"Jar": "command-runner.jar", "Args": []}}},
    "Lambda": {"digest": "1"},
    "Callback": {"queue": "q"},
    "AutoML": {"AutoMLJobObjective": {"MetricName": "Accuracy"}},
    "Fail": {"ErrorMessage": "no"},
}


@pytest.mark.parametrize("kind", OTHER_STEPS)
def test_steps_of_sdks_that_are_no_request_are_known(in_run: dict, kind: str) -> None:
    definition = build_pipeline(spec(), in_run)
    step = {"Name": "More", "Type": kind, "Arguments": OTHER_STEPS[kind], "DependsOn": ["Pack"]}
    definition["Steps"].append(step)
    assert list(pipeline_faults(definition)) == []
    step["DependsOn"] = ["Paint"]
    assert list(pipeline_faults(definition)) == ["Steps[4].DependsOn: expected names of other steps, found 'Paint'"]


def test_steps_of_sdks_that_are_requests_are_held_against_them(in_run: dict) -> None:
    definition = build_pipeline(spec(), in_run)
    training = {
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        **{name: in_run[name] for name in ("RoleArn", "OutputDataConfig", "ResourceConfig", "StoppingCondition")},
    }
    limits: dict[str, Any] = {"MaxNumberOfTrainingJobs": 4, "MaxParallelTrainingJobs": 2}
    tuning = {
        "HyperParameterTuningJobConfig": {"Strategy": "Random", "ResourceLimits": limits},
        "TrainingJobDefinition": training,
    }
    model = {"ExecutionRoleArn": in_run["RoleArn"], "PrimaryContainer": {"Image": IMAGE}}
    location = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/in"}}
    transform = {
        "ModelName": {"Get": "Steps.Serve.ModelName"},
        "TransformInput": {"DataSource": location},
        "TransformOutput": {"S3OutputPath": "s3://bucket/out"},
        "TransformResources": {"InstanceType": "ml.c5.xlarge", "InstanceCount": 1},
    }
    steps = (("Tune", "Tuning", tuning), ("Serve", "Model", model), ("Predict", "Transform", transform))
    definition["Steps"] += [{"Name": name, "Type": kind, "Arguments": value} for name, kind, value in steps]
    assert list(pipeline_faults(definition)) == []
    limits["MaxParallelTrainingJobs"] = "2"
    model["ExecutionRoleArn"] = "me"
    del transform["TransformOutput"]
    assert [fault.partition(": ")[0] for fault in pipeline_faults(definition)] == [
        "Steps[4].Arguments.HyperParameterTuningJobConfig.ResourceLimits.MaxParallelTrainingJobs",
        "Steps[5].Arguments.ExecutionRoleArn",
        "Steps[5].Arguments.ExecutionRoleArn",
        "Steps[6].Arguments.TransformOutput",
    ]


def test_training_steps_are_judged_as_jobs_are(in_run: dict) -> None:
    in_run["HyperParameters"]["sagemaker_mpi_num_of_processes_per_host"] = "4"
    in_run["InputDataConfig"] = in_run["InputDataConfig"][4:]
    definition = build_pipeline(spec(), in_run)
    assert advise_on(definition) == []
    train = definition["Steps"][1]["Arguments"]
    train["HyperParameters"]["sagemaker_mpi_num_of_processes_per_host"] = "8"
    said = (
        "Arguments.HyperParameters['sagemaker_mpi_num_of_processes_per_host']: expected 4, the GPUs of ml.g5.12xlarge"
    )
    (found,) = advise_on(definition)
    assert found.startswith(f"Steps[1].{said}")
    request = {"PipelineName": "b", "PipelineDefinition": json.dumps(definition), "RoleArn": in_run["RoleArn"],
               "ClientRequestToken": "t" * 32}  # fmt: skip
    assert advise_on(request)[0].startswith(f"PipelineDefinition: Steps[1].{said}")
    del train["StoppingCondition"]["MaxWaitTimeInSeconds"]
    (fault,) = pipeline_faults(definition)
    assert fault.startswith("Steps[1].Arguments.StoppingCondition.MaxWaitTimeInSeconds: expected a value with")


def test_another_version() -> None:
    assert next(pipeline_faults({"Version": "2019-01-01", "Steps": []})) == (
        "Version: expected 2020-12-01, found '2019-01-01'"
    )
