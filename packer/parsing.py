"""Parsing JSON and YAML that somebody else wrote: whatever is wrong with it is one kind of error, told in one line."""

from __future__ import annotations

from typing import Any, TypeVar, overload

import msgspec

_T = TypeVar("_T")

MAX_DEPTH = 100
"""Lists and mappings inside each other, in YAML and in the lines of a listing. Some parsers recurse without limit."""


class ParseError(ValueError):
    """A document that is not what it should be; the text says in what, without naming it."""


@overload
def parse_json(data: bytes | memoryview | str) -> Any: ...
@overload
def parse_json(data: bytes | memoryview | str, kind: type[_T]) -> _T: ...
def parse_json(data: bytes | memoryview | str, kind: Any = Any) -> Any:
    """Return a JSON document as a value of `kind`, or without one as dicts, lists, texts and numbers.

    Raises:
        ParseError: not JSON, of another kind, nested too deeply, or with a number that is too long.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except RecursionError:
        raise ParseError("lists or objects are nested too deeply") from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise _explain(error) from None


def as_json_text(value: str) -> str:
    """Return a value that is JSON as it is, and any other as a JSON text."""
    try:
        parse_json(value)
    except ParseError:
        return msgspec.json.encode(value).decode()
    return value


def parse_yaml(text: str) -> Any:
    """Return a YAML document as dicts, lists, texts, numbers and dates; JSON is YAML too.

    Aliases (`*name`) are refused: a few lines of them can stand for more values than memory holds.

    Raises:
        ParseError: not YAML, with an alias, nested deeper than MAX_DEPTH, or with a number that is too long.
    """
    import yaml

    try:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):  # does not recurse, as loading does
            if isinstance(event, yaml.AliasEvent):
                raise ParseError(f"expected a value, got the alias *{event.anchor}")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise ParseError(f"lists or mappings are nested deeper than {MAX_DEPTH} levels")
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        raise _explain(error) from None


def _explain(error: Exception) -> ParseError:
    if isinstance(error, ParseError):
        return error
    # Python's own words name a function of Python as the remedy.
    is_long = str(error).startswith("Exceeds the limit")
    return ParseError("a number of thousands of digits" if is_long else " ".join(str(error).split()))
