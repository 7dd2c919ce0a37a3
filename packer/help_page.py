"""One look for the help of every command: options in groups, no line that is cut, examples that can be pasted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from inspect import cleandoc
from textwrap import dedent, indent
from typing import Any

from typer.core import TyperCommand, TyperGroup

OWN_GROUP = "Options"
"""Holds what has no group."""
RUN_GROUP = "Run"
"""Holds what is the same for all commands, too: logs and help."""
LAST_GROUP = "Buckets"
_RUN_NAMES = ("help", "config", "json", "log_level", "log_json")
_FIRST_COLUMN_CHARS = 26
_HYPHEN = "\u2011"
_SPACE = "\u00a0"
"""Those at which no line ends: an option that is broken in two cannot be found."""
_WORDS = (
    (re.compile(r"<(int|float)[^>]*>"), "N"),
    (re.compile("<str>"), "TEXT"),
    (re.compile(r"<([^<>]*\|[^<>]*)>"), r"\1"),
    (re.compile(r"  \[x[<>]=[^\]]*\]|; (?=x[<>])x?[<>]=[^\];]*"), ""),
    (re.compile("  (?=\\[)"), " "),
)
"""The libraries' words for types and ranges, and ours."""


class HelpCommand(TyperCommand):
    """A command whose help shows its options by the groups that `rich_help_panel` names."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the pieces of the line of usage; what must be given stands without brackets."""
        return [re.sub("[{}]", "", piece) for piece in super().collect_usage_pieces(ctx)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options, in the order in which their groups first appear."""
        _write_options(self.get_params(ctx), ctx, formatter)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write examples as they are, since a command that is wrapped cannot be pasted."""
        _write_epilog(self.epilog, formatter)


class HelpGroup(TyperGroup):
    """A group of commands whose help says the whole of what each does."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options, then the commands."""
        _write_rows(formatter, OWN_GROUP, [_option_row(param, ctx) for param in self.get_params(ctx)])
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands by the groups that `rich_help_panel` names."""
        groups: dict[str, dict[str, str]] = {}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                panel = getattr(command, "rich_help_panel", None) or "Commands"
                groups.setdefault(panel, {})[name] = first_sentence(command.help or "")
        self.write_commands(formatter, groups)

    def write_commands(self, formatter: Any, groups: Mapping[str, Mapping[str, str]]) -> None:
        """Write the names of commands and what each does, under headings."""
        for heading, summaries in groups.items():
            _write_rows(formatter, heading, list(summaries.items()))

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write examples as they are."""
        _write_epilog(self.epilog, formatter)


def first_sentence(text: str) -> str:
    """Return the first sentence of a docstring on one line."""
    return " ".join(cleandoc(text).split("\n\n")[0].split()).split(". ")[0].rstrip(".") + "."


def panels(groups: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Return the group of each option, from the options of each group."""
    return {name: group for group, names in groups.items() for name in names}


def _write_options(params: Sequence[Any], ctx: Any, formatter: Any) -> None:
    arguments = [(p.metavar or p.name, p.help or "") for p in params if p.param_type_name == "argument"]
    if arguments:
        _write_rows(formatter, "Arguments", arguments)
    groups: dict[str, list[tuple[str, str]]] = {OWN_GROUP: []}
    for param in params:
        if param.param_type_name == "option" and not param.hidden:
            groups.setdefault(_group_of(param), []).append(_option_row(param, ctx))
    last = groups.pop(RUN_GROUP, [])
    buckets = groups.pop(LAST_GROUP, [])
    for name, rows in {**groups, RUN_GROUP: last, LAST_GROUP: buckets}.items():
        if rows:
            _write_rows(formatter, name, rows)


def _group_of(param: Any) -> str:
    return param.rich_help_panel or (RUN_GROUP if param.name in _RUN_NAMES else OWN_GROUP)


def _option_row(param: Any, ctx: Any) -> tuple[str, str]:
    """Return how an option is written and what it does, in the words of people who do not program."""
    name, text = param.get_help_record(ctx)
    flag = param.opts[0]
    if f"--no-{flag[2:]}" in param.secondary_opts:
        name = f"--[no-]{flag[2:]}"
    text = text[:1].lower() + text[1:].rstrip(".") if text[:1].isupper() and text[1:2].islower() else text
    for pattern, words in _WORDS:
        name, text = pattern.sub(words, name), pattern.sub(words, text)
    return name, text


def _write_rows(formatter: Any, heading: str, rows: Sequence[tuple[str, str]]) -> None:
    start = len(formatter.buffer)
    with formatter.section(heading):
        whole = [(name, text.replace("-", _HYPHEN).replace("default: ", f"default:{_SPACE}")) for name, text in rows]
        formatter.write_dl(whole, col_max=_FIRST_COLUMN_CHARS)
    formatter.buffer[start:] = [text.replace(_HYPHEN, "-").replace(_SPACE, " ") for text in formatter.buffer[start:]]


def _write_epilog(epilog: str | None, formatter: Any) -> None:
    """Write what follows a paragraph with a colon at its end as it is, and fill the lines of others."""
    is_example = False
    for paragraph in cleandoc(epilog or "").split("\n\n"):
        formatter.write_paragraph()
        if is_example:
            formatter.write(indent(dedent(paragraph), "  ") + "\n")
        else:
            formatter.write_text(paragraph)
        is_example = paragraph.endswith(":")
