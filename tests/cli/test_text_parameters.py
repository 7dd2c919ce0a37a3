"""Parameters of commands without Typer's validators."""

import subprocess
import sys
from typing import Annotated

import pytest
import typer
from typer.core import TyperCommand

from packer.cli.text_parameters import skip_coercion


def _parsed(*arguments: str) -> tuple:
    """Return what a command is called with."""
    found = []

    def command(
        name: Annotated[str, typer.Argument()],
        text: Annotated[str | None, typer.Option()] = None,
        count: Annotated[int | None, typer.Option(min=2)] = None,
        several: Annotated[list[str] | None, typer.Option()] = None,
        is_on: Annotated[bool | None, typer.Option("--on/--off")] = None,
        upper: Annotated[str, typer.Option(callback=lambda value: value.upper())] = "a",
    ) -> None:
        found.append((name, text, count, several, is_on, upper))

    app = typer.Typer(add_completion=False)
    app.command()(command)
    made = typer.main.get_command(app)
    assert isinstance(made, TyperCommand)
    for parameter in made.params:
        skip_coercion(parameter)
    made.main(list(arguments), standalone_mode=False)
    return found[0]


def test_values_come_as_they_do_from_typer() -> None:
    assert _parsed("x") == ("x", None, None, None, None, "A")
    given = ("--text", "t", "--count", "3", "--several", "a", "--several", "b", "--off", "--upper", "q")
    assert _parsed("x", *given) == ("x", "t", 3, ["a", "b"], False, "Q")


@pytest.mark.parametrize("arguments", [(), ("x", "--count", "1"), ("x", "--count", "many")])
def test_what_is_missing_or_wrong_is_refused_by_typer(arguments: tuple[str, ...]) -> None:
    with pytest.raises(typer.TyperException):
        _parsed(*arguments)


def test_a_command_of_texts_loads_no_validator() -> None:
    """They take longer to import than all else that a command needs."""
    code = (
        "import sys\n"
        "from packer.cli.main import run\n"
        "assert run(['inspect', 'nowhere', '--endpoint-url', 'http://127.0.0.1:1']) == 2\n"
        "print('pydantic' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=True)
    assert (ran.stdout.strip(), ran.stderr.count("\n")) == ("False", 1)
