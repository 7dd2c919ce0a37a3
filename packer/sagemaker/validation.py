"""Checks requests to AWS services against the descriptions of their APIs in botocore (`service-2.json`).

botocore itself checks only members, types and least lengths, and leaves the rest to the service. This module checks
everything in the description: required and unknown members, types, lower and upper limits of lengths and numbers,
enums, and patterns that must match the whole text, as in the service. Rules that the description lacks are in `rules`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

_MAX_SHOWN_CHARS = 80
_MAX_SHOWN_VALUES = 8
_INTEGER_BITS = {"integer": 32, "long": 64}
_REFERENCES = ({"Get"}, {"Std:Join"}, {"Std:JsonGet"})
"""Keys of an object in a pipeline's definition that refers to a value known only when the pipeline runs."""
# Java's character classes that Python lacks, in a form for use inside brackets.
_JAVA_CLASSES = {
    r"\p{Alnum}": "A-Za-z0-9",
    r"\p{L}": r"\w",
    r"\p{N}": r"\d",
    r"\p{Z}": " \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000",
}
_JAVA_DOT = "[^\n\r\u0085\u2028\u2029]"
_TOKEN = re.compile(r"\\p\{\w+\}|\\.|[\[\].]|[^\\\[\].]+", re.DOTALL)


def request_faults(
    operation: str, request: object, *, in_pipeline: bool = False, service: str = "sagemaker"
) -> Iterator[str]:
    """Yield the faults of a request of an operation such as CreateTrainingJob; each text begins with the field.

    With `in_pipeline`, a value may be a reference to a value that is known later. `service` is botocore's name of it.
    """
    shape = _service(service).operation_model(operation).input_shape
    yield from _Walk(in_pipeline=in_pipeline).faults(shape, request, "")


def member_faults(operation: str, member: str, value: object) -> Iterator[str]:
    """Yield the faults of one member of an operation's request, such as InputDataConfig."""
    shape = _service().operation_model(operation).input_shape.members[member]
    yield from _Walk(in_pipeline=False).faults(shape, value, member)


def show(value: object) -> str:
    """Return a value as text for a message, shortened if it is long."""
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN_CHARS else f"{text[:_MAX_SHOWN_CHARS]}..."


@cache
def _service(name: str = "sagemaker") -> Any:
    from botocore.loaders import Loader
    from botocore.model import ServiceModel

    return ServiceModel(Loader().load_service_model(name, "service-2"), service_name=name)


class _Walk:
    """Compares a value with its shape, member by member."""

    def __init__(self, *, in_pipeline: bool) -> None:
        self._in_pipeline = in_pipeline
        self._checks: Mapping[str, Callable[[Any, Any, str], Iterator[str]]] = {
            "structure": self._structure,
            "list": self._list,
            "map": self._map,
            "string": self._string,
        }

    def faults(self, shape: Any, value: object, path: str) -> Iterator[str]:
        if self._in_pipeline and isinstance(value, dict) and set(value) in _REFERENCES:
            return
        expected = _type_problem(shape.type_name, value)
        if expected:
            yield f"{path or 'the request'}: expected {expected}, found {show(value)}"
            return
        yield from _size_faults(shape, value, path)
        if shape.type_name in self._checks:
            yield from self._checks[shape.type_name](shape, value, path)

    def _structure(self, shape: Any, value: dict[str, object], path: str) -> Iterator[str]:
        base = f"{path}." if path else ""
        for name in shape.required_members:
            if name not in value and not shape.members[name].metadata.get("idempotencyToken"):  # botocore adds that
                yield f"{base}{name}: expected a value, found none"
        for name, member in value.items():
            if name in shape.members:
                yield from self.faults(shape.members[name], member, f"{base}{name}")
            else:
                yield f"{base}{name}: expected one of {_some(sorted(shape.members))}, found an unknown member"
        if getattr(shape, "is_tagged_union", False) and len(value) != 1:
            yield f"{path}: expected exactly one of {_some(sorted(shape.members))}, found {len(value)}"

    def _list(self, shape: Any, value: list[object], path: str) -> Iterator[str]:
        for index, item in enumerate(value):
            yield from self.faults(shape.member, item, f"{path}[{index}]")

    def _map(self, shape: Any, value: dict[str, object], path: str) -> Iterator[str]:
        for key, item in value.items():
            for fault in self.faults(shape.key, key, f"{path}[{show(key)}]"):
                yield f"{fault} as its name"
            yield from self.faults(shape.value, item, f"{path}[{show(key)}]")

    def _string(self, shape: Any, value: str, path: str) -> Iterator[str]:
        pattern = shape.metadata.get("pattern")
        if shape.enum:
            if value not in shape.enum:
                yield f"{path}: expected one of {_some(shape.enum)}, found {show(value)}"
        elif pattern and not _compiled(pattern).fullmatch(value):
            yield f"{path}: expected text that matches {pattern}, found {show(value)}"


def _type_problem(type_name: str, value: object) -> str:
    """Return the expected type if a value has another type than its shape; empty if the type is right."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    is_integer = is_number and isinstance(value, int)
    accepted = {
        "structure": (isinstance(value, dict), "an object"),
        "map": (isinstance(value, dict), "an object"),
        "list": (isinstance(value, list), "a list"),
        "string": (isinstance(value, str), "text"),
        "boolean": (isinstance(value, bool), "true or false"),
        "integer": (is_integer, "a whole number"),
        "long": (is_integer, "a whole number"),
        "float": (is_number, "a number"),
        "double": (is_number, "a number"),
        "timestamp": (is_number or isinstance(value, str), "a time"),
    }
    is_right, expected = accepted[type_name]
    return "" if is_right else expected


def _size_faults(shape: Any, value: Any, path: str) -> Iterator[str]:
    """Compare a length, a count or a number with its limits."""
    least, greatest = shape.metadata.get("min"), shape.metadata.get("max")
    bits = _INTEGER_BITS.get(shape.type_name)
    if bits is not None:
        limit = 2 ** (bits - 1)
        least, greatest = (-limit if least is None else least), (limit - 1 if greatest is None else greatest)
    is_number = isinstance(value, int | float)
    size = value if is_number else len(value)
    unit = "" if is_number else " characters" if isinstance(value, str) else " of them"
    if least is not None and size < least:
        yield f"{path}: expected at least {least}{unit}, found {size}"
    if greatest is not None and size > greatest:
        yield f"{path}: expected at most {greatest}{unit}, found {size}"


def _some(values: list[str]) -> str:
    rest = len(values) - _MAX_SHOWN_VALUES
    return ", ".join(values[:_MAX_SHOWN_VALUES]) + (f" and {rest} more" if rest > 0 else "")


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """Return a pattern for Python. A pattern that Python cannot express becomes one that matches every text."""
    try:
        return re.compile(translate_pattern(pattern), 0 if r"\p{L}" in pattern else re.ASCII)
    except re.error:
        return re.compile(".*", re.DOTALL)


def translate_pattern(pattern: str) -> str:
    r"""Return a Python regular expression that matches the same texts as a Java one.

    They differ in classes such as ``\p{L}``, and in ``.``, which in Java matches no line terminator of any kind.
    """
    parts, in_class = [], False
    for token in _TOKEN.findall(pattern):
        if token in ("[", "]"):
            in_class = token == "["
        parts.append(_JAVA_DOT if token == "." and not in_class else _JAVA_CLASSES.get(token, token))
    return "".join(parts)
