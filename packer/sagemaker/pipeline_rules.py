"""Faults of, and advice on, a pipeline's definition, no matter whether an SDK or a person wrote it.

If a step's arguments are a request to SageMaker, they are checked against the API's description of that request. For
training steps, the rules for training jobs are checked too, with default values for parameters. For all other steps
only names, order and references are checked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from packer.sagemaker.job_advice import training_job_advice
from packer.sagemaker.rules import training_job_faults
from packer.sagemaker.validation import request_faults

VERSION = "2020-12-01"
OPERATIONS = {
    "Training": ("CreateTrainingJob", "TrainingJobName"),
    "Processing": ("CreateProcessingJob", "ProcessingJobName"),
    "QualityCheck": ("CreateProcessingJob", "ProcessingJobName"),
    "ClarifyCheck": ("CreateProcessingJob", "ProcessingJobName"),
    "Tuning": ("CreateHyperParameterTuningJob", "HyperParameterTuningJobName"),
    "Transform": ("CreateTransformJob", "TransformJobName"),
    "Model": ("CreateModel", "ModelName"),
    "RegisterModel": ("CreateModelPackage", ""),
    "EndpointConfig": ("CreateEndpointConfig", "EndpointConfigName"),
    "Endpoint": ("CreateEndpoint", "EndpointName"),
    "InferenceComponent": ("CreateInferenceComponent", "InferenceComponentName"),
}
"""For each type of step: the operation whose request its arguments are, and the member that the pipeline fills in."""
_OTHERS = ("AutoML", "Callback", "Condition", "EMR", "EMRServerless", "Fail", "Lambda", "Lineage")
"""Types of steps whose arguments are not a request."""


class _Step(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    name: str
    type: str
    arguments: dict[str, Any] = {}
    depends_on: tuple[str, ...] = ()


class _Parameter(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    name: str
    default_value: Any = None


class _Definition(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    version: str
    steps: tuple[_Step, ...]
    parameters: tuple[_Parameter, ...] = ()


def pipeline_faults(definition: object) -> Iterator[str]:
    """Yield the faults of a pipeline's definition; each text begins with the field.

    Checks the names of steps, their references, and arguments that are requests.
    """
    try:
        parsed = msgspec.convert(definition, _Definition)
        steps = list(_all_steps(parsed.steps, "Steps"))
    except msgspec.ValidationError as error:
        yield f"the definition: {error}"
        return
    if parsed.version != VERSION:
        yield f"Version: expected {VERSION}, found {parsed.version!r}"
    if not steps:
        yield "Steps: expected one or more, found none"
    names = [step.name for _, step in steps]
    parameters = {parameter.name for parameter in parsed.parameters}
    for path, step in steps:
        yield from _step_faults(_with_defaults(step, parsed), path, names)
        for reference in _references(step.arguments):
            if not _is_known(reference, names, parameters):
                yield f"{path}: expected a reference to a step or parameter that is there, found {reference!r}"


def _all_steps(steps: Sequence[_Step], path: str) -> Iterator[tuple[str, _Step]]:
    for index, step in enumerate(steps):
        yield f"{path}[{index}]", step
        for branch in ("IfSteps", "ElseSteps"):
            nested = step.arguments.get(branch, []) if step.type == "Condition" else []
            yield from _all_steps(msgspec.convert(nested, tuple[_Step, ...]), f"{path}[{index}].Arguments.{branch}")


def _step_faults(step: _Step, path: str, names: Sequence[str]) -> Iterator[str]:
    if not re.fullmatch(r"[A-Za-z0-9\-_]{1,64}", step.name) or names.count(step.name) > 1:
        yield f"{path}.Name: expected 1 to 64 letters, digits, hyphens or underscores, just once, found {step.name!r}"
    for other in step.depends_on:
        if other not in names or other == step.name:
            yield f"{path}.DependsOn: expected names of other steps, found {other!r}"
    if step.type not in (*OPERATIONS, *_OTHERS):
        yield f"{path}.Type: expected one of {', '.join(sorted((*OPERATIONS, *_OTHERS)))}, found {step.type!r}"
    elif step.type in OPERATIONS:
        for fault in _request_faults(step):
            yield f"{path}.Arguments.{fault}"


def _request_faults(step: _Step) -> list[str]:
    operation, name = OPERATIONS[step.type]
    named = {name: "name", **step.arguments} if name else step.arguments
    faults = list(request_faults(operation, named, in_pipeline=True))
    return faults or (training_job_faults(_job_of(step)) if _can_be_judged(step) else [])


def pipeline_advice(definition: object) -> list[str]:
    """Return advice on the training steps of a valid definition; each text begins with the field."""
    try:
        parsed = msgspec.convert(definition, _Definition)
        steps = [(path, _with_defaults(step, parsed)) for path, step in _all_steps(parsed.steps, "Steps")]
    except msgspec.ValidationError:
        return []
    return [
        f"{path}.Arguments.{text}"
        for path, step in steps
        if _can_be_judged(step)
        for text in training_job_advice(_job_of(step))
    ]


def _with_defaults(step: _Step, definition: _Definition) -> _Step:
    """Return a step in which default values replace references to parameters that have a default."""
    defaults = {f"Parameters.{parameter.name}": parameter.default_value for parameter in definition.parameters}

    def settle(value: Any) -> Any:
        if isinstance(value, list):
            return [settle(item) for item in value]
        if not isinstance(value, dict):
            return value
        if set(value) == {"Get"} and isinstance(value["Get"], str) and defaults.get(value["Get"]) is not None:
            return defaults[value["Get"]]
        return {name: settle(item) for name, item in value.items()}

    return msgspec.structs.replace(step, arguments=settle(step.arguments))


def _can_be_judged(step: _Step) -> bool:
    """Say whether all values that the rules need are known before the pipeline runs."""
    return step.type == "Training" and not any(request_faults("CreateTrainingJob", _job_of(step)))


def _job_of(step: _Step) -> dict[str, Any]:
    job: dict[str, Any] = _with_texts({"TrainingJobName": "name", **step.arguments})
    return job


def _with_texts(value: Any) -> Any:
    """Return a value in which texts of the form ``${...}`` replace references."""
    if isinstance(value, list):
        return [_with_texts(item) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"Get"}:
        return f"${{{value['Get']}}}"
    if set(value) == {"Std:Join"} and isinstance(value["Std:Join"], dict):
        values = _with_texts(value["Std:Join"].get("Values", []))
        return str(value["Std:Join"].get("On", "")).join(map(str, values if isinstance(values, list) else [values]))
    return {name: _with_texts(item) for name, item in value.items()}


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("Get"), str):
            yield value["Get"]
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)


def _is_known(reference: str, names: Sequence[str], parameters: set[str]) -> bool:
    kind, _, rest = reference.partition(".")
    known = {"Steps": rest.partition(".")[0] in names, "Parameters": rest in parameters, "Execution": True}
    return known.get(kind, False)
