"""A pipeline's every step, one after another, by the commands in its definition, on a real S3 server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from packer.cli.processing_host import arguments_here
from packer.errors import DataSetError
from tests.sagemaker.conftest import IMAGE, ROLE
from tests.stores.conftest import Bucket
from tests.tools.datasets import write_images

ROOT = Path(__file__).parents[2]
LIMIT_S = 240
HOSTS = ("algo-1", "algo-2")
RUN = "1a2b"


def resolved(value: Any, known: dict[str, Any]) -> Any:
    """Return a part of a definition as SageMaker hands it to a job."""
    if isinstance(value, list):
        return [resolved(item, known) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"Get"}:
        return known[value["Get"]]
    if set(value) == {"Std:Join"}:
        return value["Std:Join"]["On"].join(map(str, resolved(value["Std:Join"]["Values"], known)))
    return {name: resolved(item, known) for name, item in value.items()}


def ended_well(*words: object) -> None:
    done = subprocess.run(list(map(str, words)), cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr


def run_processing(arguments: dict[str, Any], folder: Path) -> None:
    """Run what each instance of a Processing job runs; its folders are below `folder`."""
    application = arguments["AppSpecification"]
    cluster = arguments["ProcessingResources"]["ClusterConfig"]
    words = [text.replace("/opt/ml/processing", str(folder)) for text in application["ContainerArguments"]]
    for host in HOSTS[: cluster["InstanceCount"]]:
        entry = application["ContainerEntrypoint"]
        given = words
        if entry == ["python", "-m", "packer.cli.processing_host"]:
            config = folder / f"{host}.json"
            config.write_text(json.dumps({"current_host": host, "hosts": HOSTS[: cluster["InstanceCount"]]}))
            given, entry = arguments_here(words, str(config)), ["shardpack"]
        programs = {"shardpack": [sys.executable, "-m", "packer"], "python": [sys.executable]}
        ended_well(*programs[entry[0]], *entry[1:], *given)


def run_training(arguments: dict[str, Any], dataset: str, folder: Path) -> None:
    """Run the trainer as SageMaker's toolkit would; its channels are those of `sagemaker-local`."""
    sources = [channel["DataSource"]["S3DataSource"] for channel in arguments["InputDataConfig"]]
    assert [source["S3Uri"] for source in sources] == [
        f"{dataset}/{name}" for name in ("train/", "val/", "manifest.json")
    ]
    given = {name: text for name, text in arguments["HyperParameters"].items() if not name.startswith("sagemaker_")}
    words = [word for name, text in given.items() for word in ("--hyperparameter", f"{name}={text}")]
    words = [word.replace("/opt/ml", str(folder)) for word in words]
    command = (sys.executable, ROOT / "docker/train.py")
    ended_well(sys.executable, "-m", "packer", "sagemaker-local", dataset, "--mode", "FastFile", *words, "--", *command)


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.parametrize("endpoint", [pytest.param("real", marks=pytest.mark.s3)], indirect=True)
def test_steps_run_by_the_commands_of_the_definition(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.endpoint)
    images = write_images(tmp_path / "images", 48)
    for path in images.rglob("*.*"):
        bucket.put(f"photos/{path.relative_to(images)}", path.read_bytes())
    source, dest = (f"s3://{bucket.name}/{name}" for name in ("photos", "set"))
    packing = ("--gpus", 2, "--split", "train=0.75,val=0.25", "--resize", 24, "--allow-fill", "--workers", 1)
    shardpack = (sys.executable, "-m", "packer")
    ended_well(*shardpack, "pack", source, dest, *packing)
    ended_well(
        *(*shardpack, "sagemaker", dest, "--instances", 1, "--gpus-per-instance", 1, "--mode", "FastFile"),
        *("--pipeline", tmp_path / "pipeline.json", "--image", IMAGE, "--role", ROLE, "--output", "s3://bucket/out"),
        *("--instance-type", "ml.c5.xlarge", "--checkpoint", "s3://bucket/ck", "--pack-image", "pack:1"),
        *("--pack-instances", 2, "--model-package-group", "birds", "--inference-image", "serve:1"),
        *("--min-accuracy", 0, "--hyperparameter", "image-size=16", "--hyperparameter", "epochs=1"),
        *("--hyperparameter", "framework=torch", "--hyperparameter", "batch-size=4"),
    )
    definition = json.loads((tmp_path / "pipeline.json").read_bytes())
    known: dict[str, Any] = {f"Parameters.{p['Name']}": p["DefaultValue"] for p in definition["Parameters"]}
    known |= {"Execution.PipelineExecutionId": RUN, "Steps.Train.ModelArtifacts.S3ModelArtifacts": "s3://bucket/m"}
    steps = {
        step["Name"]: resolved(step["Arguments"], known) for step in definition["Steps"] if step["Type"] != "Condition"
    }
    assert list(steps) == ["Pack", "Commit", "Train", "Evaluate"]
    dataset = steps["Pack"]["AppSpecification"]["ContainerArguments"][2]
    assert dataset.startswith(f"{dest}-runs/")

    for name in ("Pack", "Commit"):
        run_processing(steps[name], tmp_path)
    packed = stamps(bucket)
    for name in ("Pack", "Commit"):  # a second execution
        run_processing(steps[name], tmp_path)
    assert stamps(bucket) == packed

    run_training(steps["Train"], dataset, tmp_path / "training")
    assert (tmp_path / "training/model/model.pt2").exists()
    metrics = json.loads((tmp_path / "training/output/data/metrics.json").read_bytes())
    assert [epoch["evaluation"]["records"] for epoch in metrics["epochs"]] == [12]

    shutil.copytree(tmp_path / "training/checkpoints", tmp_path / "model")
    run_processing(steps["Evaluate"], tmp_path)
    found = json.loads((tmp_path / "metrics/metrics.json").read_bytes())
    (condition,) = definition["Steps"][-1]["Arguments"]["Conditions"]
    for part in condition["LeftValue"]["Std:JsonGet"]["Path"].split("."):
        found = found[part]
    assert found >= resolved(condition["RightValue"], known)
    (register,) = definition["Steps"][-1]["Arguments"]["IfSteps"]
    assert resolved(register["Arguments"], known)["ModelApprovalStatus"] == "PendingManualApproval"


def stamps(bucket: Bucket) -> dict[str, object]:
    """Return when each object below the packed data sets was written."""
    pages = bucket.client.get_paginator("list_objects_v2").paginate(Bucket=bucket.name, Prefix="set-runs/")
    return {entry["Key"]: entry["LastModified"] for page in pages for entry in page["Contents"]}


def test_each_instance_packs_the_part_of_its_place(tmp_path: Path) -> None:
    config = tmp_path / "resourceconfig.json"
    for number, host in enumerate(("algo-1", "algo-10", "algo-2")):
        config.write_text(json.dumps({"current_host": host, "hosts": ["algo-2", "algo-1", "algo-10"]}))
        assert arguments_here(["pack", "a", "b"], str(config)) == ["pack", "a", "b", "--part", f"{number}/3"]
    for text in ("{", "{}", '{"current_host": "x", "hosts": ["y"]}'):
        config.write_text(text)
        with pytest.raises(DataSetError, match="expected what SageMaker tells an instance of a Processing job"):
            arguments_here([], str(config))
    with pytest.raises(DataSetError, match=os.fspath(tmp_path / "none")):
        arguments_here([], str(tmp_path / "none"))
