"""What people change from one execution of a pipeline to the next: its parameters, each with the pipeline's own value.

The hyperparameters that were given are parameters too, named as in ``batch-size`` -> ``BatchSize``. A parameter stands
as ``${Parameters.NAME}`` in the definition while that is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from packer.parsing import parse_json

TRAIN_IMAGE, TRAIN_TYPE = "TrainImage", "TrainInstanceType"
PACK_IMAGE, PROCESSING_TYPE = "PackImage", "ProcessingInstanceType"
APPROVAL, MIN_ACCURACY = "ModelApprovalStatus", "MinAccuracy"
_APPROVALS = ("PendingManualApproval", "Approved")


def reference(name: str) -> str:
    """Return what stands for a parameter in a definition."""
    return f"${{Parameters.{name}}}"


def hyperparameter_values(hyperparameters: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """Return the values of hyperparameters as a person types them; the toolkit takes what is no JSON as it stands."""
    decoded = {name: parse_json(hyperparameters[name]) for name in names}
    return {name: value if isinstance(value, str) else hyperparameters[name] for name, value in decoded.items()}


def parameter_name(hyperparameter: str) -> str:
    """Return ``BatchSize`` for ``batch-size``."""
    return "".join(word[:1].upper() + word[1:] for word in hyperparameter.split("-"))


def list_parameters(
    job: Mapping[str, Any], pack_image: str, processing_type: str, *, min_accuracy: float, is_registered: bool
) -> list[dict[str, Any]]:
    """Return the parameters of any pipeline, but those of hyperparameters.

    Args:
        job: the training step's request.
        pack_image: of the packing step.
        processing_type: of the instances of other steps than training.
        min_accuracy: in [0, 1].
        is_registered: a good model is registered.
    """
    texts = {TRAIN_IMAGE: job["AlgorithmSpecification"]["TrainingImage"], PACK_IMAGE: pack_image}
    if "InstanceType" in job["ResourceConfig"]:
        texts[TRAIN_TYPE] = job["ResourceConfig"]["InstanceType"]
    texts[PROCESSING_TYPE] = processing_type
    parameters: list[dict[str, Any]] = [text_parameter(name, value) for name, value in texts.items()]
    parameters.append({"Name": MIN_ACCURACY, "Type": "Float", "DefaultValue": min_accuracy})
    if is_registered:
        parameters.append({**text_parameter(APPROVAL, _APPROVALS[0]), "EnumValues": list(_APPROVALS)})
    return parameters


def text_parameter(name: str, value: str) -> dict[str, Any]:
    """Return a parameter that is a text."""
    return {"Name": name, "Type": "String", "DefaultValue": value}
