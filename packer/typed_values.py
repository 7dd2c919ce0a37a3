"""From untyped values to options of a kind, with errors in the words of who gave them."""

from __future__ import annotations

import enum
import re
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

import msgspec

from packer.errors import OptionsError

_T = TypeVar("_T", bound=msgspec.Struct)

_WORDS: dict[type, str] = {
    msgspec.inspect.IntType: "a whole number",
    msgspec.inspect.FloatType: "a number",
    msgspec.inspect.StrType: "text",
    msgspec.inspect.BoolType: "true or false",
}
_HIGHEST = 2**63 - 1
"""Of a whole number that has no bound but its 64 bits."""


def convert_options(values: Mapping[str, Any], kind: type[_T]) -> _T:
    """Turn untyped values into options of a kind, which has a field for each of them.

    Raises:
        OptionsError: one line that names the field, what was expected and what was found.
    """
    texts = {name: value for name, value in values.items() if isinstance(value, str)}
    for name, text in texts.items():
        if "\0" in text or (not text.isascii() and text != text.encode(errors="replace").decode()):
            raise OptionsError(f"expected text in UTF-8 without zero bytes, got {text!r}", field=name)
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _describe(error, values, kind) from None


def check_names(values: Iterable[str], kind: type[msgspec.Struct], *, before: str = "") -> None:
    """Raise OptionsError for a name that no option of a kind has; `before` says where it stands."""
    known = kind.__struct_fields__
    for name in sorted(set(values) - set(known)):
        likely = did_you_mean(name, known) or f"; expected one of {', '.join(sorted(known))}"
        raise OptionsError(f"{before}{name}: no such option{likely}")


def did_you_mean(given: object, known: Collection[str]) -> str:
    """Return ``; did you mean workers?``, or nothing where no known name is like the one given."""
    close = get_close_matches(str(given).lower(), known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _describe(error: msgspec.ValidationError, values: Mapping[str, Any], kind: type[msgspec.Struct]) -> OptionsError:
    """Reword msgspec's message ("Expected `int | null`, got `str` - at `$.gpus`") around the option and its value."""
    if isinstance(error.__cause__, OptionsError):
        return error.__cause__
    field = str(error).partition(" - at `$.")[2].rstrip("`").split(".")[0].split("[")[0]
    hint = next((f.type for f in msgspec.structs.fields(kind) if f.name == field), None)
    value = values.get(field)
    choices = choices_of(hint)
    likely = did_you_mean(value, choices) if isinstance(value, str) else ""
    bits = " of at most 64 bits" if re.fullmatch(r"-?\d{19,}", str(value)) else ""
    return OptionsError(f"expected {_expected(hint, choices)}{bits}, got {_shown(value)}{likely}", field=field)


def _expected(hint: Any, choices: list[str]) -> str:
    """Return what an option takes: ``a whole number from 1 to 100``."""
    if choices:
        return f"one of {', '.join(choices)}"
    leaves = [leaf for leaf in leaf_types(hint) if type(leaf) in _WORDS]
    return " or ".join(_WORDS[type(leaf)] + _range_of(leaf) for leaf in leaves) or "another kind of value"


def _range_of(leaf: Any) -> str:
    least, most = getattr(leaf, "ge", None), getattr(leaf, "le", None)
    if most == _HIGHEST:
        return ""
    if least is not None and most is not None:
        return f" from {least:g} to {most:g}" if isinstance(least, float) else f" from {least:,} to {most:,}"
    return "" if least is None else f" of at least {least:,}"


def _shown(value: object) -> str:
    """Return a value as its owner wrote it: that of an enum, not the enum's own name."""
    return repr(value.value if isinstance(value, enum.Enum) else value)


def choices_of(hint: Any) -> list[str]:
    """Return the values of the enum inside a field's type, in the order of its definition; none without an enum."""
    for node in leaf_types(hint):
        if isinstance(node, msgspec.inspect.EnumType):
            return [str(member.value) for member in node.cls]
    return []


def leaf_types(hint: Any) -> list[Any]:
    """Return the descriptions of the types that a field's type is made of, without unions and their annotations."""
    return _walk(msgspec.inspect.type_info(hint))


def _walk(node: Any) -> list[Any]:
    if isinstance(node, msgspec.inspect.Metadata):
        return _walk(node.type)
    if isinstance(node, msgspec.inspect.UnionType):
        return [leaf for option in node.types for leaf in _walk(option)]
    return [node]
