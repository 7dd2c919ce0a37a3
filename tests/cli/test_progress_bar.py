"""Progress on a terminal of any width, and what it counts."""

import re
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from packer.cli.progress_bar import TerminalProgress
from packer.packing.reshard import reshard_shard
from packer.pipeline import pack
from packer.prepare import make_plan
from packer.resharding import reshard
from packer.sources.scan import FOUND_AT_A_TIME
from tests.tools.datasets import SerialEngine, make_options, pack_small, serial_run, write_images


class Counter:
    """Remembers what a run says of itself."""

    def __init__(self) -> None:
        self.phases: dict[str, list[int]] = {}

    def phase(self, name: str, *, total: int | None):
        self.counts = self.phases.setdefault(name, [total or 0, 0, 0])
        return nullcontext()

    def advance(self, num_items: int, num_bytes: int) -> None:
        self.counts[1] += num_items

    def reuse(self, num_items: int) -> None:
        self.counts[2] += num_items

    def reject(self, num_items: int) -> None:
        return

    def note(self, text: str) -> None:
        return


class StopsHalfWay(SerialEngine):
    """Is interrupted after two shards of a copy."""

    def run(self, function: Any, context: Any, tasks: Sequence[int], tick: Any) -> Iterator[Any]:
        is_copying = function is reshard_shard
        yield from super().run(function, context, tasks[:2] if is_copying else tasks, tick)
        if is_copying:
            raise KeyboardInterrupt


@pytest.mark.parametrize("columns", [45, 80, 140])
def test_a_line_fits_the_terminal(capsys, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    progress = TerminalProgress()
    with progress.phase("packing", total=1_281_167):
        progress.reuse(500_000)
        progress.advance(400_000, 40_000_000_000)
        progress.reject(3)
    lines = [
        line.strip() for line in re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err))
    ]
    last = next(line for line in reversed(lines) if line)
    assert last.startswith("packing: 900,000 of 1,281,167 (70 %)")
    assert len(last) <= columns
    assert "…" not in last
    assert ("500,000 done before" in last) == (columns == 140)


def test_shards_of_an_earlier_run_count_as_done(tmp_path: Path) -> None:
    source = write_images(tmp_path / "source", 40)
    pack(make_options(source, tmp_path / "out", part="0/2"), engine=SerialEngine())
    progress = Counter()
    pack(make_options(source, tmp_path / "out", resume=True), engine=SerialEngine(), progress=progress)
    assert progress.phases["packing"] == [40, 20, 20]


def test_shards_of_an_earlier_copy_count_as_done(tmp_path: Path) -> None:
    pack_small(write_images(tmp_path / "source", 40), tmp_path / "out")
    options = make_options(tmp_path / "out", tmp_path / "copy")
    with pytest.raises(KeyboardInterrupt):
        reshard(options, engine=StopsHalfWay())
    progress = Counter()
    resumed = make_options(tmp_path / "out", tmp_path / "copy", resume=True)
    reshard(resumed, engine=SerialEngine(), progress=progress)
    assert progress.phases["copying"] == [40, 20, 20]


def test_listing_says_how_many_it_finds(tmp_path: Path) -> None:
    for number in range(FOUND_AT_A_TIME + 5):
        (tmp_path / f"{number}.jpg").touch()
    write_images(tmp_path, 40, num_classes=1)
    progress = Counter()
    run = serial_run(make_options(tmp_path, tmp_path / "none", flat=True, max_rejects=1.0))
    make_plan(replace(run, progress=progress))
    assert progress.phases["listing"][1] == FOUND_AT_A_TIME + 45
