"""The parameters of a pipeline: values that a user may change for each execution. Each has a default value.

Hyperparameters given by the user are parameters too; ``batch-size`` becomes ``BatchSize``. While a definition is being
made, ``${Parameters.NAME}`` in a text stands for a parameter.
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
    """Return the text that stands for a parameter while a definition is being made."""
    return f"${{Parameters.{name}}}"


def hyperparameter_values(hyperparameters: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """Return the values of hyperparameters as a user types them: texts without quotes, other values as JSON.

    The toolkit takes a value that is not JSON as plain text.
    """
    decoded = {name: parse_json(hyperparameters[name]) for name in names}
    return {name: value if isinstance(value, str) else hyperparameters[name] for name, value in decoded.items()}


def parameter_name(hyperparameter: str) -> str:
    """Return ``BatchSize`` for ``batch-size``."""
    return "".join(word[:1].upper() + word[1:] for word in hyperparameter.split("-"))


def list_parameters(
    job: Mapping[str, Any], pack_image: str, processing_type: str, *, min_accuracy: float, is_registered: bool
) -> list[dict[str, Any]]:
    """Return all parameters of a pipeline except those for hyperparameters.

    Args:
        job: the training step's request.
        pack_image: image of the packing step.
        processing_type: instance type of all steps but training.
        min_accuracy: least accuracy of a good model, in [0, 1].
        is_registered: True if the pipeline registers a good model.
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
    """Return a parameter of type String."""
    return {"Name": name, "Type": "String", "DefaultValue": value}
