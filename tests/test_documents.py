"""What the documentation says can be found: links lead somewhere, and commands that it shows exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from packer.cli.main import app

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / ".github/CONTRIBUTING.md", *sorted((ROOT / "packer/docs").glob("*.md"))]
ids = [str(page.relative_to(ROOT)) for page in PAGES]


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_link_to_a_file_or_heading_leads_there(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        name, _, heading = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), target
        if heading:
            titles = re.findall(r"^#+ (.+)$", path.read_text(), re.M)
            anchors = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
            assert heading in anchors, target


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_command_and_option_that_is_shown_exists(page: Path) -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for block in re.findall(r"^```\w*\n(.*?)^```", page.read_text(), re.M | re.S):
        for line in block.replace("\\\n", " ").splitlines():
            match = re.match(r"\s*(?:\$ )?shardpack ([a-z-]+)(.*)", line.split("   #")[0])
            if match is None:
                continue
            assert match[1] in commands, line
            known = {option for parameter in commands[match[1]].params for option in parameter.opts}
            own = match[2].partition(" -- ")[0]  # what follows is another program's
            for option in re.findall(r"(?<=\s)(--[a-z0-9-]+)", own):
                assert option in known | {"--help"}, f"{option} in: {line}"


def test_the_architecture_page_names_every_part_and_only_those() -> None:
    text = (ROOT / "packer/docs/architecture.md").read_text()
    parts = {path.name for path in (ROOT / "packer").iterdir() if (path / "__init__.py").exists()}
    rows = re.search(r"\| part \|.*?\n\n", text, re.S)
    assert rows is not None
    named = set(re.findall(r"`([a-z]+)`", "\n".join(row.split("|")[1] for row in rows[0].splitlines()[2:] if row)))
    assert named == parts
    for path in re.findall(r"`([a-z_]+/[a-z_/]+\.py)`", text):
        assert (ROOT / "packer" / path).exists() or (ROOT / path).exists(), path


def _map() -> list[str]:
    """Return the lines of README's map, each a row of its table."""
    table = re.search(r"\| to know \| read \|\n\|---\|---\|\n(.*?)\n\n", (ROOT / "README.md").read_text(), re.S)
    assert table is not None
    return table[1].splitlines()


def test_the_map_has_ten_lines() -> None:
    assert len(_map()) == 10


SOUGHT = {
    "the number of shards": "choose_num_shards",
    "a broken image": "pack_shard",
    "a container": "Container",
    "a source": "list_source",
    "a decoder": "OpenedImage",
    "an engine": "Engine",
    "a trainer": "Framework",
}
"""What a newcomer seeks, as a page calls it, and the function or class that it is about."""


@pytest.mark.parametrize(("sought", "name"), SOUGHT.items())
def test_what_a_newcomer_seeks_is_at_most_two_files_from_the_map(sought: str, name: str) -> None:
    """The first file is a page that the map leads to, the second one the code that a row of the page names."""
    pages = [ROOT / target for target in re.findall(r"\]\(([\w./]+\.md)\)", "\n".join(_map()))]
    rows = [line for page in pages for line in page.read_text().splitlines() if line.startswith("|") and sought in line]
    named = [pair for row in rows for pair in re.findall(r"`([\w/]+\.py)`: `(\w+)`", row)]
    assert name in [found for _, found in named]


def test_functions_and_classes_that_the_architecture_page_names_are_there() -> None:
    named = re.findall(r"`([\w/]+\.py)`: `(\w+)`", (ROOT / "packer/docs/architecture.md").read_text())
    assert len(named) > 15
    for path, name in named:
        code = (ROOT / "packer" / path).read_text()
        assert re.search(rf"^((def|class) {name}\b|{name}\b.* = )", code, re.M), f"{path} has no {name}"
