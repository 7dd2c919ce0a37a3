"""The examples for Kubernetes: what they say is what the custom resources have, and what the trainer takes.

The schemas are the parts of the custom resources that the examples use, written from those that are published:
kubeflow/mpi-operator, manifests/base/kubeflow.org_mpijobs.yaml, v2beta1 of release 0.8.2; and kubeflow/trainer (then
training-operator), manifests/base/crds/kubeflow.org_pytorchjobs.yaml, v1 of branch release-1.9. A name that is not in
them fails, though the server would drop it without a word.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from packer.trainer.cli import train_command

FOLDER = Path(__file__).parents[2] / "jobs" / "kubernetes"


def strict(*required: str, **properties: Any) -> dict[str, Any]:
    """Return the schema of an object of these properties and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


TEXT, NUMBER = {"type": "string"}, {"type": "integer", "minimum": 0}
TEXTS = {"type": "array", "items": TEXT}
QUANTITY = {"anyOf": [{"type": "integer"}, {"type": "string", "pattern": r"^[0-9]+([KMGT]i)?$"}]}
CONTAINER = strict(
    *("name", "image"),
    name=TEXT,
    image=TEXT,
    command=TEXTS,
    args=TEXTS,
    resources=strict(limits={"type": "object", "additionalProperties": QUANTITY}),
    volumeMounts={"type": "array", "items": strict("name", "mountPath", name=TEXT, mountPath=TEXT)},
)
VOLUME = strict(
    "name",
    name=TEXT,
    emptyDir=strict(medium=TEXT, sizeLimit=QUANTITY),
    persistentVolumeClaim=strict("claimName", claimName=TEXT),
)
POD = strict(
    "containers",
    containers={"type": "array", "items": CONTAINER, "minItems": 1},
    volumes={"type": "array", "items": VOLUME},
    terminationGracePeriodSeconds=NUMBER,
)
REPLICAS = strict(replicas=NUMBER, restartPolicy=TEXT, template=strict(spec=POD))
RUN_POLICY = strict(cleanPodPolicy={"enum": ["None", "Running", "All"]}, backoffLimit=NUMBER)


def resource(version: str, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = strict("name", name={"type": "string", "pattern": "^[a-z0-9-]+$"})
    required = ("apiVersion", "kind", "metadata", "spec")
    return strict(
        *required, apiVersion={"const": f"kubeflow.org/{version}"}, kind={"const": kind}, metadata=metadata, spec=spec
    )


MPI_JOB = resource(
    "v2beta1",
    "MPIJob",
    strict(
        "mpiReplicaSpecs",
        slotsPerWorker=NUMBER,
        mpiImplementation={"enum": ["OpenMPI", "Intel", "MPICH"]},
        runPolicy=RUN_POLICY,
        mpiReplicaSpecs=strict("Launcher", "Worker", Launcher=REPLICAS, Worker=REPLICAS),
    ),
)
PYTORCH_JOB = resource(
    "v1",
    "PyTorchJob",
    strict(
        "pytorchReplicaSpecs",
        nprocPerNode=TEXT,
        runPolicy=RUN_POLICY,
        pytorchReplicaSpecs=strict("Master", "Worker", Master=REPLICAS, Worker=REPLICAS),
    ),
)
EXAMPLES = {"mpijob.yaml": MPI_JOB, "pytorchjob.yaml": PYTORCH_JOB}


def load(name: str) -> Any:
    return yaml.safe_load((FOLDER / name).read_text())


def container_of(job: Any, group: str) -> Any:
    (specs,) = (value for name, value in job["spec"].items() if name.endswith("ReplicaSpecs"))
    (container,) = specs[group]["template"]["spec"]["containers"]
    return container


def test_each_example_has_a_schema() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_fit_the_custom_resources(name: str) -> None:
    jsonschema.validate(load(name), EXAMPLES[name])


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_name_that_the_custom_resource_does_not_have_is_found(name: str) -> None:
    job = load(name)
    job["spec"]["slotsPerworker"] = 1
    with pytest.raises(jsonschema.ValidationError, match="slotsPerworker"):
        jsonschema.validate(job, EXAMPLES[name])


@pytest.mark.parametrize(("name", "group"), [("mpijob.yaml", "Launcher"), ("pytorchjob.yaml", "Master")])
def test_what_they_start_is_the_trainer_with_options_that_it_has(name: str, group: str) -> None:
    container = container_of(load(name), group)
    words = [*container["command"], *container["args"]]
    options = words[words.index("packer.trainer") + 1 :]
    known = {f"--{name.replace('_', '-')}" for name in train_command.__signature__.parameters}
    assert {option.partition("=")[0] for option in options} <= known
    assert all("=" in option for option in options)


def test_as_many_ranks_as_slots() -> None:
    job = load("mpijob.yaml")
    args = container_of(job, "Launcher")["args"]
    workers = job["spec"]["mpiReplicaSpecs"]["Worker"]["replicas"]
    assert int(args[args.index("-np") + 1]) == job["spec"]["slotsPerWorker"] * workers
