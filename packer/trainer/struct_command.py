"""Commands whose options are the fields of structs; `about` gives the help text of each field."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn, get_args, get_origin

import msgspec
import typer

from packer.flags import option_name
from packer.logs import LogSettings, start_logs
from packer.shown_text import shown
from packer.usage_problem import usage_problem

_INTERRUPTED = 130


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandLook:
    """How the help shows options."""

    groups: Mapping[str, str]
    """Heading of the help for each field."""
    aliases: Mapping[str, tuple[str, ...]]
    """Further flags of a field."""
    spell: Callable[[str], str]
    """Replaces names of fields in a text by flags."""


def make_command(function: Any, fields: Sequence[msgspec.structs.FieldInfo], look: CommandLook) -> Any:
    """Return `function` with its first parameter replaced by one parameter for each field and each log setting.

    `function` receives the given options as its first argument: a dict from field to value.
    """
    logs = msgspec.structs.fields(LogSettings)
    generated = [_parameter(field, look) for field in (*fields, *logs)]
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]

    def command(**parameters: Any) -> None:
        settings = {field.name: parameters.pop(field.name) for field in logs}
        if any(value is not None for value in settings.values()):
            start_logs(LogSettings(**{name: value for name, value in settings.items() if value is not None}))
        given = {field.name: parameters.pop(field.name) for field in fields}
        function({name: value for name, value in given.items() if value is not None}, **parameters)

    command.__signature__ = inspect.Signature([*generated, *own])  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in [*generated, *own]}
    command.__doc__ = function.__doc__
    return command


def run_alone(app: typer.Typer, arguments: Sequence[str], *, program: str) -> NoReturn:
    """Run a command line and end the process. A wrong command line gives one line of error and exit code 2."""
    try:
        code = typer.main.get_command(app).main(list(arguments), prog_name=program, standalone_mode=False)
    except typer.TyperException as error:
        typer.echo(f"error: {shown(usage_problem(error, arguments))}", err=True)
        sys.exit(2)
    except typer.Abort:
        sys.exit(_INTERRUPTED)
    sys.exit(code if isinstance(code, int) else 0)


def pick_fields(given: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return the given options whose names are in `names`."""
    return {name: given[name] for name in names if name in given}


def _parameter(field: msgspec.structs.FieldInfo, look: CommandLook) -> inspect.Parameter:
    kind, about = get_args(field.type)[:2]
    flag = option_name(field.name)
    is_list = get_origin(kind) is tuple
    described = ",".join(map(str, field.default)) if is_list else field.default
    text = look.spell(about.description or "") + ("" if described in ("", False) else f" [default: {described}]")
    declaration = (f"{flag}/--no-{flag[2:]}" if field.default else flag) if kind is bool else flag
    group = look.groups.get(field.name)
    option = typer.Option(
        declaration, *look.aliases.get(field.name, ()), help=text, show_default=False, rich_help_panel=group
    )
    if is_list:
        option = typer.Option(
            declaration,
            help=text,
            metavar="N,...",
            parser=_parse_numbers,
            show_default=False,
            rich_help_panel=group,
        )
    hint: Any = Any if is_list else kind | None
    annotation = Annotated[hint, option]
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _parse_numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError:
        raise ValueError(f"expected whole numbers such as 30,60,80, got {text!r}") from None
