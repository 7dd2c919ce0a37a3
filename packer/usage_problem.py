"""What is wrong with a command line, in the same words for every command.

Typer leaves values to pydantic, whose messages speak of input, parsing and types: they are told anew here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

_EXPECTED = (
    (re.compile(r"Input should be a valid integer.*", re.DOTALL), "expected a whole number"),
    (re.compile(r"Input should be a valid number.*", re.DOTALL), "expected a number"),
    (re.compile(r"Input should be greater than or equal to (\S+)"), r"expected at least \1"),
    (re.compile(r"Input should be greater than (\S+)"), r"expected more than \1"),
    (re.compile(r"Input should be less than or equal to (\S+)"), r"expected at most \1"),
)
_OWN = "Value error, "
"""Stands before what a parser of ours says."""
_CHOICE = re.compile(r"Value error, '(.*)' is not one of (.*)\.", re.DOTALL)


def usage_problem(error: Any, arguments: Sequence[str]) -> str:
    """Return one line for an error of Typer: what was expected, what was found, and what was probably meant.

    Args:
        error: a `typer.TyperException`.
        arguments: the command line that it is about.
    """
    if likely := getattr(error, "possibilities", None):
        closest = get_close_matches(getattr(error, "option_name", ""), likely, n=1) or likely
        return f"{error.message}; did you mean {closest[0]}?"
    flags = [flag for flag in getattr(getattr(error, "param", None), "opts", ()) if flag.startswith("-")]
    problem = str(getattr(error, "message", ""))
    if flags and (choice := _CHOICE.fullmatch(problem)) is not None:
        choices = re.findall("'([^']*)'", choice[2])
        close = get_close_matches(choice[1].lower(), choices, n=1)
        meant = f"; did you mean {close[0]}?" if close else ""
        return f"{flags[0]}: expected one of {', '.join(choices)}, got {choice[1]!r}{meant}"
    for pattern, expected in _EXPECTED:
        if flags and (found := pattern.fullmatch(problem)) is not None:
            return f"{flags[0]}: {found.expand(expected)}, got {_given(flags, arguments)!r}"
    if flags and problem.startswith(_OWN):
        return f"{flags[0]}: {problem.removeprefix(_OWN)}"
    return error.format_message() if hasattr(error, "format_message") else str(error)


def _given(flags: Sequence[str], arguments: Sequence[str]) -> str:
    """Return the last value that a command line has for an option."""
    value = ""
    for index, argument in enumerate(arguments):
        flag, equals, text = argument.partition("=")
        if flag in flags:
            value = text if equals else "".join(arguments[index + 1 : index + 2])
    return value
