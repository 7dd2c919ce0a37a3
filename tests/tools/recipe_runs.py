"""Runs the blocks of a page as its reader would, and holds those that nothing here can run against their parsers.

Buckets are prefixes of one bucket of an S3 server, and `/mnt` is a folder. A data set that one recipe made gives way
to the next recipe's of the same name.
"""

from __future__ import annotations

import ast
import re
import shutil
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

import packer
from packer.cli.main import app
from packer.trainer.cli import app as trainer_app
from packer.trainer.feed.feed_command import app as feed_app
from tests.tools.aws_commands import aws_faults
from tests.tools.buckets import list_keys_of
from tests.tools.datasets import ROOT
from tests.tools.recipe_pages import Block, split_commands, words_of

GROUP = typer.main.get_command(app)
TRAINER = typer.main.get_command(trainer_app)
FEED = typer.main.get_command(feed_app)
_LESS = {"bench": ("--seconds", "0.1"), "pack": ("--resize", "48")}
"""Options beside those of a recipe, that leave it less to do."""
_INDEX = "$AWS_BATCH_JOB_ARRAY_INDEX"
_NUM_PARTS = 4
_MAX_CALLS = 3


_STAND_INS = {
    r"\bPACK_JOB_ID\b": "6f1d3bd4-0b6f-4f2c-9d5e-1c1f2a1e7a10",
    r"(?<![/\w])ROLE(_ARN)?\b": "arn:aws:iam::123456789012:role/ROLE",
    r"(?<![/\w])IMAGE(_URI)?\b": "123456789012.dkr.ecr.us-east-1.amazonaws.com/image:1",
    r"\bACCOUNT\b": "123456789012",
    r"\bREGION\b": "us-east-1",
    r"\$\(uuidgen\)": "6f1d3bd4-0b6f-4f2c-9d5e-1c1f2a1e7a10",
}
"""Words that a reader replaces, and what stands in for them."""


class EnoughError(Exception):
    """A loop of a recipe has come round often enough."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where recipes run."""

    folder: Path
    client: Any
    """boto3's, for the server of the bucket."""
    bucket: str
    shardpack: Callable[[Sequence[str]], tuple[int, str]]
    """Runs the command and returns its exit code and what it printed."""

    def run(self, block: Block) -> None:
        """Run all of a block. Raises AssertionError where a command fails."""
        if block.is_shell:
            for command in split_commands(block.text):
                self.run_command(command)
        elif block.language == "python":
            self._run_python(block)

    def run_command(self, command: str) -> None:
        """Run one command; the one that names its place in an array job once for each place."""
        for part in range(_NUM_PARTS if _INDEX in command else 1):
            program, *words = words_of(self._here(command.replace(_INDEX, str(part))))
            assert program == "shardpack", f"no test can run {command}; say before the block what it needs"
            if words[0] in ("pack", "reshard") and not part:
                self._clear(words[2])
            more = _LESS.get(words[0], ())
            code, shown = self.shardpack([*words, *(more if more[:1] and more[0] not in words else ())])
            assert code == 0, f"{command}\nexit code {code}\n{shown}"

    def _here(self, text: str) -> str:
        text = re.sub(r"s3://(\w)", rf"s3://{self.bucket}/\1", filled_in(text))
        return text.replace("/mnt/", f"{self.folder}/mnt/")

    def _clear(self, dest: str) -> None:
        if not dest.startswith("s3://"):
            shutil.rmtree(self.folder / dest, ignore_errors=True)
            return
        prefix = dest.removeprefix(f"s3://{self.bucket}/").rstrip("/") + "/"
        for key in list_keys_of(self.client, self.bucket, prefix):
            self.client.delete_object(Bucket=self.bucket, Key=key)

    def _run_python(self, block: Block) -> None:
        """Run statement by statement, since a loop over training batches has no end."""
        if "packer.pack(" in block.text:
            self._clear("shards")
        num_calls = 0

        def take(*_: object) -> None:
            nonlocal num_calls
            num_calls += 1
            if num_calls >= _MAX_CALLS:
                raise EnoughError

        names = {"packer": packer, "step": take, "train_on": take, "rank": 0, "r": 0, "world": 1, "w": 1}
        try:
            for statement in ast.parse(self._here(block.text).replace("batch_size=256", "batch_size=8")).body:
                try:
                    exec(compile(ast.Module([statement], []), f"line {block.line}", "exec"), names)
                except EnoughError:
                    num_calls = 0
        finally:
            if isinstance(loader := names.get("loader"), packer.Loader):
                loader.close()


def filled_in(text: str) -> str:
    """Return a command with something in the place of words that a reader replaces."""
    for word, stand_in in _STAND_INS.items():
        text = re.sub(word, stand_in, text)
    return text


def block_faults(block: Block, folder: Path) -> list[str]:
    """Return what is wrong with a block that is not run; files that it names are read and written in a folder."""
    if block.language == "python":
        ast.parse(block.text)
        return []
    faults = []
    for command in split_commands(filled_in(block.text)):
        if (here := re.fullmatch(r"cat > (\S+) <<'?(\w+)'?\n(.*)\n\2", command, re.DOTALL)) is not None:
            (folder / here[1]).write_text(here[3])
            continue
        for words in _split(words_of(command)):
            faults += _command_faults(words, folder)
    return faults


def _split(words: Sequence[str]) -> list[list[str]]:
    """Return the commands that ``&&`` and ``|`` join, without variables before them."""
    found: list[list[str]] = [[]]
    for word in words:
        if word in ("&&", "|"):
            found.append([])
        elif found[-1] or not re.fullmatch(r"\w+=.*", word):
            found[-1].append(word)
    return found


def _command_faults(words: Sequence[str], folder: Path) -> list[str]:
    program = Path(words[0]).name
    if program == "shardpack":
        _parse(GROUP, words[1:])
    elif program in ("torchrun", "mpirun", "horovodrun", "python", "python3", "python3.11"):
        return _python_faults(words)
    elif program == "aws":
        for inner in re.findall(r'"shardpack ([^"]+)"', " ".join(words)):
            _parse(GROUP, inner.split())
        return aws_faults(words[1:], folder)
    elif program == "make":
        makefile = (ROOT / "Makefile").read_text()
        return [
            f"make has no {word}"
            for word in words[1:]
            if "=" not in word and not re.search(rf"^{word}[: ]|\.PHONY:.* {word}\b", makefile, re.M)
        ]
    elif program == "pip":
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        asked = [name for word in words for name in re.findall(r"\.\[([\w,]+)\]", word)]
        return [f"there is no extra {name}" for names in asked for name in names.split(",") if name not in extras]
    elif program not in ("docker", "kubectl", "printf"):
        return [f"no test knows {program}"]
    return []


def _python_faults(words: Sequence[str]) -> list[str]:
    if "-c" in words:
        ast.parse(words[words.index("-c") + 1])
        return []
    module = words[len(words) - 1 - list(reversed(words)).index("-m") + 1]
    rest = words[words.index(module) + 1 :]
    if module == "packer.trainer":
        TRAINER.make_context("trainer", list(rest))
    elif module == "packer.trainer.feed":
        FEED.make_context("feed", list(rest))
    elif module not in ("venv", "pytest"):
        path = ROOT / (module.replace(".", "/") + ".py")
        return [] if path.exists() else [f"there is no {module}"]
    return []


def _parse(group: Any, words: Sequence[str]) -> None:
    command = group.get_command(typer.Context(group), words[0])
    assert command is not None, words
    command.make_context(words[0], list(words[1:]))
