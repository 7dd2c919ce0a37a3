"""The help of all commands: whole, in groups, and with examples that are commands."""

import os
import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from packer.cli.command_group import SUMMARIES
from packer.cli.command_options import PACK_GROUPS
from packer.cli.main import app
from packer.help_page import first_sentence
from packer.options import PackOptions
from packer.trainer.cli import app as trainer_app
from packer.trainer.cli import list_fields
from tests.cli.commands import shardpack
from tests.tools.datasets import run_command

GROUP: Any = typer.main.get_command(app)
COMMANDS = tuple(GROUP.list_commands(typer.Context(GROUP)))
TRAINER: Any = typer.main.get_command(trainer_app)


def command_named(name: str):
    return GROUP.get_command(typer.Context(GROUP), name)


def help_of(command, name: str, *, width: int = 80) -> str:
    return command.get_help(typer.Context(command, info_name=name, terminal_width=width))


def examples(text: str) -> Iterator[list[str]]:
    """Yield the words of each command among the examples."""
    _, _, shown = text.partition("\nExample")
    for line in shown.partition(":\n")[2].replace("\\\n", " ").splitlines():
        if words := shlex.split(line, comments=True) if line.startswith("  ") else []:
            yield words


def test_every_option_of_packing_has_a_group() -> None:
    assert set(PACK_GROUPS) == set(PackOptions.__struct_fields__) - {"source", "dest"}


def test_the_groups_of_pack_come_in_the_order_of_the_work() -> None:
    headings = re.findall(r"^(\w+):$", help_of(command_named("pack"), "pack"), re.MULTILINE)
    assert headings == ["Arguments", "Source", "Splits", "Images", "Shards", "Run", "Buckets", "Examples"]


@pytest.mark.parametrize("width", [80, 50])
@pytest.mark.parametrize("name", [*COMMANDS, "trainer"])
def test_options_are_described_in_whole_and_in_plain_words(name: str, width: int) -> None:
    command = TRAINER if name == "trainer" else command_named(name)
    text = help_of(command, name, width=width)
    own = text.partition("\nExample")[0]
    assert max(map(len, own.splitlines())) <= width, own
    assert not re.search(r"…|[a-z]\.\.\.\n|<(int|float|str)|x>=|-\n *[a-z]", own)
    for param in command.get_params(typer.Context(command)):
        assert param.help, param.name
        for flag in param.opts:
            assert flag.lstrip("-") in own or param.metavar in own


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_examples_that_are_commands(name: str) -> None:
    shown = list(examples(help_of(command_named(name), name)))
    assert shown
    for words in shown:
        assert words[:2] == ["shardpack", name]
        command_named(name).make_context(name, words[2:])


def test_the_examples_of_the_trainer_are_commands() -> None:
    shown = list(examples(help_of(TRAINER, "trainer")))
    assert len(shown) >= 5
    for words in shown:
        TRAINER.make_context("trainer", words[words.index("packer.trainer") + 1 :])


def test_options_of_the_trainer_are_in_groups() -> None:
    panels = {param.name: param.rich_help_panel for param in TRAINER.get_params(typer.Context(TRAINER))}
    assert {panels[name] for name in ("model_dir", "epochs", "log", "threads", "endpoint_url")} == {
        "Checkpoints", "Recipe", "Log", "Reading", "Buckets",
    }  # fmt: skip
    assert {field.name for field in list_fields()} <= set(panels)


def test_the_first_page_says_what_every_command_does(capfd) -> None:
    code, out, _ = shardpack(capfd, "--help")
    assert code == 0
    told = " ".join(out.split())
    for name in COMMANDS:
        assert f"{name} {first_sentence(command_named(name).help)}" in told
    assert "shardpack pack photos/ shards/ --gpus 16" in out


def test_first_sentences() -> None:
    assert first_sentence("Do this.\n\n    And that.") == "Do this."
    assert first_sentence("Do this: one, two\n    three. Then that.") == "Do this: one, two three."


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_both_flags_for_help(capfd, name: str, flag: str) -> None:
    code, out, errors = shardpack(capfd, *([name] if name else []), flag)
    assert (code, errors) == (0, "")
    assert out.startswith("Usage: shardpack")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("pa",), {"pack"}),
        (("pack", "--shard"), {"--shard-size"}),
        (("pack", "--fit", "co"), {"cover", "contain"}),
        (("pack", "--format", ""), {"tfrecord", "recordio", "webdataset", "parquet"}),
    ],
)
def test_a_shell_completes_commands_options_and_values(words: tuple[str, ...], expected: set[str]) -> None:
    asked = {
        "_SHARDPACK_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(("shardpack", *words)),
        "COMP_CWORD": str(len(words)),
    }
    done = run_command(env={**os.environ, **asked})
    assert (done.returncode, done.stderr) == (0, "")
    assert set(done.stdout.split()) == expected


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_of_each_what_its_own_help_says_first(name: str) -> None:
    (summary,) = [summaries[name] for summaries in SUMMARIES.values() if name in summaries]
    assert summary == first_sentence(command_named(name).help)
