"""The commands of ``shardpack`` by name. The module of a command is imported when the command is looked up."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

import typer
from typer.core import TyperCommand

from packer.cli import compare_option
from packer.cli.text_parameters import skip_coercion
from packer.help_page import HelpCommand, HelpGroup

SUMMARIES = {
    "Make a data set": {
        "pack": "Resize the images of SOURCE, pack them into shards under DEST and write its manifest.",
        "commit": "Make a data set of the shards that several runs of pack --part have packed under DEST.",
        "reshard": (
            "Copy the data set SOURCE to DEST for other GPUs, shard size or container; images are copied as they are."
        ),
        "submit": "Send a job to TARGET and follow it: packing to EMR or Glue, training to SageMaker.",
        "plan": "Show what pack would make of SOURCE: splits, shards and sizes.",
        "croissant": (
            "Write croissant.json (MLCommons Croissant 1.1) beside the manifest of DEST, from which it is made."
        ),
    },
    "Look at it": {
        "verify": "Read every byte of DEST and compare it with its manifest; exit code 1 when anything differs.",
        "inspect": (
            "Show what DEST holds: splits, classes, image settings, fills, rejects, copies, and where it came from."
        ),
        "show": "Show one record of DEST: where it is, its label, fields and sizes, and its picture.",
        "doctor": (
            "Show versions, codecs, Java, GPUs, the source of credentials and limits of this machine, and what to do."
        ),
        "report": "Write one HTML page that shows splits, classes, sizes, rejects, copies and pictures of DEST.",
    },
    "Train on it": {
        "bench": (
            "Measure what loading DEST delivers on this machine: images a second, CPU time by stage, what binds, what "
            "helps."
        ),
        "sagemaker": (
            "Show the input channels (InputDataConfig) through which a SageMaker training job reads DEST, and write "
            "requests."
        ),
        "sagemaker-local": (
            "Run COMMAND as the ranks of a SageMaker training job on this machine, with DEST as its channels."
        ),
    },
}
"""The commands by the headings of the help. A summary is the first sentence of the command's own help; it stands here
too, so that the list of commands imports none of them.

Command ``a-b`` is the function ``a_b`` of the module ``a_b_command``, which also has its examples as ``EPILOG``.
"""


class CommandGroup(HelpGroup):
    """All commands, each imported when it is looked up."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _Commands()  # type: ignore[assignment]

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the options that stand before the command."""
        return _without_coercion(super().get_params(ctx))

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands by their groups."""
        self.write_commands(formatter, SUMMARIES)


class _Command(HelpCommand):
    """A command of options of texts."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return its options."""
        return _without_coercion(super().get_params(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take what was given to it."""
        is_comparing = any(compare_option.NAME in parameter.opts for parameter in self.params)
        return super().parse_args(ctx, compare_option.spread_settings(args) if is_comparing else args)


def _without_coercion(parameters: list[Any]) -> list[Any]:
    for parameter in parameters:
        skip_coercion(parameter)
    return parameters


class _Commands(Mapping[str, TyperCommand]):
    """Commands by name, in the order of the help."""

    def __init__(self) -> None:
        self._groups = {name: group for group, summaries in SUMMARIES.items() for name in summaries}
        self._loaded: dict[str, TyperCommand] = {}

    def __getitem__(self, name: str) -> TyperCommand:
        group = self._groups[name]
        if name not in self._loaded:
            self._loaded[name] = _load(name, group)
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._groups)

    def __len__(self) -> int:
        return len(self._groups)


def _load(name: str, group: str) -> TyperCommand:
    identifier = name.replace("-", "_")
    module = importlib.import_module(f"packer.cli.{identifier}_command")
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.command(name, cls=_Command, epilog=module.EPILOG, rich_help_panel=group)(getattr(module, identifier))
    command = typer.main.get_command(alone)
    assert isinstance(command, TyperCommand)
    return command
