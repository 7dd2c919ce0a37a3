"""A run that sleeps while another takes its place over wakes, and changes nothing that a manifest names.

A stopped process is what a suspended machine, a lost node that comes back, or a stalled file system looks like.
"""

import random
import time
from pathlib import Path

import pytest

from packer.progress import SilentProgress
from packer.verifying import verify
from tests.endurance.conftest import GIVEN, rounds
from tests.tools.children import fork
from tests.tools.datasets import SerialEngine, digests, pack_small

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("round_number", rounds(4, 50))
def test_a_sleeper_on_a_disk(images: Path, expected, tmp_path: Path, round_number: int) -> None:
    chance = random.Random(round_number)
    dest = tmp_path / "out"
    theirs = {"quality": 90} if round_number % 3 else {}  # or the very same plan
    wanted = expected(**theirs)
    sleeper = fork(lambda: pack_small(images, dest, **GIVEN), tmp_path / "sleeper.log")
    while not (dest / "meta/plan.json").exists():
        time.sleep(0.001)
    time.sleep(chance.uniform(0.0, 0.4))
    was_running = sleeper.stop()
    wakes_early = was_running and round_number % 2 == 1

    winner = fork(lambda: pack_small(images, dest, **{**GIVEN, **theirs, "overwrite": True}), tmp_path / "winner.log")
    if wakes_early:  # while the other one clears the place, or packs
        time.sleep(chance.uniform(0.0, 0.4))
        sleeper.go_on()
    code, errors = winner.wait()
    assert code == 0, errors
    if was_running:
        if not wakes_early:
            sleeper.go_on()
        code, errors = sleeper.wait()
        if code:
            assert "another run took it over meanwhile" in errors.partition("\n")[0], errors
            assert "--overwrite" not in errors.partition("\n")[0]
    assert verify(str(dest), SerialEngine(), SilentProgress()).faults == ()
    assert digests(dest) == wanted


@pytest.mark.parametrize("round_number", rounds(3, 20))
def test_two_that_go_on_at_once_both_end_well(images: Path, expected, tmp_path: Path, round_number: int) -> None:
    chance = random.Random(round_number)
    dest = tmp_path / "out"
    wanted = expected()
    first = fork(lambda: pack_small(images, dest, **GIVEN), tmp_path / "first.log")
    while not (dest / "meta/plan.json").exists():
        time.sleep(0.001)
    time.sleep(chance.uniform(0.0, 0.3))
    first.kill()
    runs = [
        fork(lambda: pack_small(images, dest, **{**GIVEN, "resume": True}), tmp_path / f"{number}.log")
        for number in range(2)
    ]
    time.sleep(chance.uniform(0.0, 0.2))
    if runs[0].stop():
        time.sleep(0.3)
        runs[0].go_on()
        ends = [run.wait() for run in runs]
        assert [code for code, _ in ends] == [0, 0], ends
    else:
        assert runs[1].wait()[0] == 0
    assert digests(dest) == wanted


@pytest.mark.parametrize("round_number", rounds(6, 300))
def test_a_kill_at_any_moment(images: Path, expected, tmp_path: Path, round_number: int) -> None:
    chance = random.Random(round_number)
    dest = tmp_path / "out"
    wanted = expected()
    num_kills = chance.randint(1, 3)
    for _ in range(num_kills):
        child = fork(lambda: pack_small(images, dest, **{**GIVEN, "resume": True}), tmp_path / "log")
        time.sleep(chance.uniform(0.0, 0.8))
        child.kill()
    code, errors = fork(lambda: pack_small(images, dest, **{**GIVEN, "resume": True}), tmp_path / "log").wait()
    assert code == 0, errors
    assert digests(dest) == wanted
