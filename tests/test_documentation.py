"""What the pages say is so: commands are commands, tests and messages that they name are there."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from packer.cli.main import app
from packer.cli.shown_line import in_flags
from packer.trainer.cli import app as trainer_app
from tests.cli.commands import shardpack
from tests.tools.datasets import ROOT, image_bytes, write_images

PAGES = (ROOT / "README.md", *sorted((ROOT / "packer/docs").glob("*.md")))
GUIDE = (ROOT / "packer/docs/guide.md").read_text(encoding="utf-8")
GROUP: Any = typer.main.get_command(app)
TRAINER = typer.main.get_command(trainer_app)
NEEDS_AWS_OR_TIME = ("s3://", "bench")


def blocks(path: Path) -> Iterator[str]:
    """Yield the lines of a page's command blocks, continued ones as one."""
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```", path.read_text(encoding="utf-8"), re.M | re.S):
        if language in ("", "bash", "sh"):
            yield from re.sub(r" *\\\n\s*", " ", block).splitlines()


def commands() -> list[tuple[str, list[str]]]:
    found = []
    for path in PAGES:
        for line in blocks(path):
            if re.match(r"shardpack |(python|torchrun|mpirun|horovodrun) .*packer\.trainer", line):
                command, *_ = re.split(r" {2,}(?=[^-\s])", line)  # what follows says something of it
                found.append((path.name, shlex.split(command, comments=True)))
    return found


@pytest.mark.parametrize(("page", "words"), commands(), ids=lambda value: value if isinstance(value, str) else None)
def test_commands_of_the_pages_are_commands(page: str, words: list[str]) -> None:
    if words[0] == "shardpack":
        command = GROUP.get_command(typer.Context(GROUP), words[1])
        assert command is not None, f"{page}: {words}"
        command.make_context(words[1], words[2:])
    if "packer.trainer" in words:
        TRAINER.make_context("trainer", words[words.index("packer.trainer") + 1 :])


def test_there_are_commands_in_the_pages() -> None:
    assert len(commands()) > 25
    assert {page for page, _ in commands()} >= {"README.md", "sagemaker.md", "training.md"}


def test_tests_that_the_guide_names_are_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)`", GUIDE)
    assert len(named) > 10
    assert [name for name in named if not (ROOT / name).exists()] == []


def source_texts() -> str:
    """Return all texts of the package, with what stands between the parts of a message taken out."""
    text = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "packer").rglob("*.py")))
    return in_flags(re.sub(r'"\s*\n\s*f?"', "", text))


def test_benchmarks_that_the_guide_names_are_there() -> None:
    named = re.findall(r"`python -m (tests\.benchmarks\.\w+)", GUIDE)
    assert len(named) > 8
    assert [name for name in named if not (ROOT / (name.replace(".", "/") + ".py")).exists()] == []


def test_messages_that_the_guide_names_are_there() -> None:
    table = GUIDE.partition("## What a message means")[2].partition("\n## ")[0]
    messages = re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)
    assert len(messages) > 10
    texts = re.sub(r"\{[^{}]*\}", "", source_texts())
    known = {"items were rejected, expected at most": "items  rejected, expected at most"}
    known |= {"holds a finished data set": "a finished data set"}
    known |= {"shards are not packed, the first is": "not packed, the first is"}
    known |= {"sets of exact copies with different labels": "of exact copies with different labels"}
    assert [message for message in messages if known.get(message, message) not in texts] == []


def questions() -> list[str]:
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Ten questions")[2].partition("\n## ")[0]
    return re.findall(r"\| `([^`]+)` \|$", section, re.MULTILINE)


def test_ten_questions_have_commands() -> None:
    assert len(questions()) == 10


@pytest.mark.slow
def test_the_questions_are_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd) -> None:
    pytest.importorskip("vl_convert")
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "photos", 39)
    (tmp_path / "photos/dogs").mkdir()
    (tmp_path / "photos/dogs/rex.jpg").write_bytes(image_bytes(99))
    code, _, errors = shardpack(
        capfd, "pack", "photos", "shards", "--gpus", 2, "--resize", 24, "--workers", 1, "--split", "train=0.8,val=0.2",
        "--allow-fill",
    )  # fmt: skip
    assert code == 0, errors
    for question in questions():
        words = shlex.split(question)
        if words[0] == "shardpack" and not any(part in question for part in NEEDS_AWS_OR_TIME):
            code, out, errors = shardpack(capfd, *words[1:])
            assert code == 0, (question, errors)
            assert out
    assert "dogs" in shardpack(capfd, "inspect", "shards/", "--classes")[1]
    assert (tmp_path / "shards/meta/rejects.jsonl").exists()
    assert (tmp_path / "rex.jpg").stat().st_size
    assert (tmp_path / "report.html").stat().st_size
