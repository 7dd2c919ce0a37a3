"""Commands of the AWS command line held against botocore's descriptions of the services: nothing is sent."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from botocore import xform_name
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

_OWN_COMMANDS = {"s3": {"cp", "sync", "ls", "mv", "rm"}, "cloudformation": {"deploy"}}
"""Commands of the command line itself, which no description has."""
_OUTPUT_OPTIONS = {"query", "output", "region", "profile"}
_RENAMED = {("emr", "add-steps"): ("AddJobFlowSteps", {"cluster-id": "JobFlowId"})}
"""Commands that are not named as their operations are."""


def aws_faults(words: Sequence[str], folder: Path) -> list[str]:
    """Return what is wrong with the words behind ``aws``; files that they name are looked for in a folder."""
    service, command, *rest = words
    if command in _OWN_COMMANDS.get(service, ()):
        return []
    model = ServiceModel(Loader().load_service_model(service, "service-2"))
    operation_name, renamed = _RENAMED.get((service, command), ("", {}))
    operations = {xform_name(name, "-"): name for name in model.operation_names}
    operation_name = operation_name or operations.get(command, "")
    if not operation_name:
        return [f"aws {service} has no {command}"]
    shape = model.operation_model(operation_name).input_shape
    members = {xform_name(name, "-"): name for name in shape.members}
    # What the command line fills in by itself.
    request: dict[str, Any] = {
        name: "token" for name, member in shape.members.items() if "idempotencyToken" in member.metadata
    }
    for option, values in _options(rest):
        name = option.removeprefix("--")
        if name in _OUTPUT_OPTIONS:
            continue
        if name == "cli-input-json":
            request |= json.loads(_text(values[0], folder) or "{}")
            continue
        member = renamed.get(name) or members.get(name)
        if member is None:
            return [f"aws {service} {command} has no {option}"]
        request[member] = _value(shape.members[member], [_text(value, folder) for value in values])
    report = ParamValidator().validate(request, shape)
    return [report.generate_report()] if report.has_errors() else []


def _options(words: Sequence[str]) -> list[tuple[str, list[str]]]:
    found: list[tuple[str, list[str]]] = []
    for word in words:
        if word.startswith("--"):
            found.append((word, []))
        else:
            found[-1][1].append(word)
    return found


def _text(value: str, folder: Path) -> str:
    if not value.startswith("file://"):
        return value
    return (folder / value.removeprefix("file://")).read_text(encoding="utf-8")


def _value(shape: Any, values: Sequence[str]) -> Any:
    """Return values as the command line reads them: JSON, or its shorthand."""
    if shape.type_name in ("structure", "list", "map") and values[0].lstrip()[:1] in ("{", "["):
        return json.loads(values[0])
    if shape.type_name == "list":
        return [_value(shape.member, [value]) for value in values]
    if shape.type_name in ("structure", "map"):
        pairs: Mapping[str, str] = dict(pair.split("=", 1) for pair in values[0].split(","))
        if shape.type_name == "map":
            return dict(pairs)
        return {
            name: _value(shape.members[name], [text]) if name in shape.members else text for name, text in pairs.items()
        }
    if shape.type_name in ("integer", "long"):
        return int(values[0])
    if shape.type_name == "boolean":
        return not values or values[0] == "true"
    return values[0]
