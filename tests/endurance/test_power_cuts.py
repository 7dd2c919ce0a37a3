"""The power goes while a run packs, commits, or has just ended: on a real file system, with its journal replayed."""

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from packer.progress import SilentProgress
from packer.verifying import verify
from tests.endurance.conftest import GIVEN, rounds
from tests.tools.children import Child, fork
from tests.tools.datasets import SerialEngine, digests, pack_small
from tests.tools.loop_disk import cut_power, make_disk, mounted, why_not

pytestmark = [pytest.mark.slow, pytest.mark.may_skip]


@pytest.fixture(scope="module", autouse=True)
def _needs_a_disk() -> None:
    if reason := why_not():
        pytest.skip(reason)


def start(images: Path, dest: Path, log: Path, **options: object) -> Child:
    return fork(lambda: pack_small(images, dest, **{**GIVEN, **options}), log)


def inspect_after_cut(copy: Path, tmp_path: Path, work: Callable[[Path], None]) -> None:
    """Look at a disk whose power was cut, in a process of its own: files left open would keep it mounted."""
    with mounted(copy, tmp_path / "after") as folder:
        code, errors = fork(lambda: work(folder / "out"), tmp_path / "after.log").wait()
    copy.unlink()
    assert code == 0, errors


@pytest.mark.parametrize("round_number", rounds(1, 6))
def test_a_cut_after_the_end(images: Path, expected, tmp_path: Path, round_number: int) -> None:
    """At once, and up to half a minute later: what has exited with 0 is there and whole."""
    waits = sorted(random.Random(round_number).uniform(0, 30) for _ in range(4)) if len(rounds(1, 6)) > 1 else [1.0]

    def check(dest: Path) -> None:
        assert verify(str(dest), SerialEngine(), SilentProgress()).faults == ()
        found = {key: digest for key, digest in digests(dest).items() if not key.startswith(".shardpack-tmp")}
        assert {key: found.get(key) for key in expected()} == expected()

    expected()
    disk = make_disk(tmp_path / "disk")
    with mounted(disk, tmp_path / "before") as folder:
        child = start(images, folder / "out", tmp_path / "log")
        code, errors = child.wait()
        assert code == 0, errors
        ended = time.monotonic()
        copies = []
        for number, wait_s in enumerate([0.0, *waits]):
            time.sleep(max(0.0, ended + wait_s - time.monotonic()))
            copies.append(cut_power(disk, tmp_path / f"copy-{number}"))
    for copy in copies:
        inspect_after_cut(copy, tmp_path, check)


def test_the_disk_does_lose_what_is_not_synced(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or else these tests would show nothing."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    disk = make_disk(tmp_path / "disk")
    with mounted(disk, tmp_path / "before") as folder:
        code, errors = start(images, folder / "out", tmp_path / "log").wait()
        assert code == 0, errors
        copy = cut_power(disk, tmp_path / "copy")
    with mounted(copy, tmp_path / "after") as folder:
        assert not (folder / "out/manifest.json").exists()


@pytest.mark.parametrize("overwrite", [False, True], ids=["a new place", "a data set that is replaced"])
@pytest.mark.parametrize("round_number", rounds(2, 15))
def test_a_cut_in_the_middle(images: Path, expected, tmp_path: Path, round_number: int, overwrite: bool) -> None:
    """Wherever it comes, the run goes on to the bytes of one that nobody disturbed."""
    chance = random.Random(round_number)
    options = {"quality": 90} if overwrite else {}

    def check(dest: Path) -> None:
        again = "overwrite" if overwrite else "resume"
        pack_small(images, dest, **{**GIVEN, **options, again: True})
        assert digests(dest) == expected(**options)

    expected(**options)
    disk = make_disk(tmp_path / "disk")
    with mounted(disk, tmp_path / "before") as folder:
        if overwrite:
            assert start(images, folder / "out", tmp_path / "log").wait()[0] == 0
        child = start(images, folder / "out", tmp_path / "log", overwrite=overwrite, **options)
        time.sleep(chance.uniform(0.0, 1.2))
        is_running = child.stop()
        copy = cut_power(disk, tmp_path / "copy")
        if is_running:
            os.kill(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)
    inspect_after_cut(copy, tmp_path, check)
