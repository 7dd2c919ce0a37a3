"""Where standard error is a file: lines that say how far a run is, and that it stands still."""

import time

from packer.cli.plain_progress import PlainProgress


def wait_for(lines: list[str], number: int) -> None:
    deadline = time.monotonic() + 60
    while len(lines) < number:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_lines_of_a_phase() -> None:
    lines: list[str] = []
    progress = PlainProgress(lines.append, interval_s=0.02)
    with progress.phase("packing", total=200):
        wait_for(lines, 1)  # nothing is done yet, and that is said
        progress.advance(50, 4_000_000)
        progress.reject(1)
        said = len(lines)
        wait_for(lines, said + 2)
    assert lines[0].startswith("packing: 0 of 200 (0 %), 0 images/s")
    assert "packing: 50 of 200 (25 %), " in lines[said + 1]
    assert "1 reject" in lines[said + 1]
    assert lines[-1].startswith("packing: done, 50 in ")


def test_a_short_phase_says_nothing_and_notes_are_said() -> None:
    lines: list[str] = []
    progress = PlainProgress(lines.append)
    with progress.phase("packing", total=2):
        progress.advance(2, 100)
    progress.note("left out 3 files")
    assert lines == ["left out 3 files"]


def test_an_error_ends_the_phase() -> None:
    lines: list[str] = []
    progress = PlainProgress(lines.append, interval_s=0.01)
    try:
        with progress.phase("packing", total=2):
            raise ValueError
    except ValueError:
        pass
    said = len(lines)
    time.sleep(0.1)
    assert len(lines) == said
