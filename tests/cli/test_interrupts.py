"""Ctrl-C and SIGTERM, once or twice, at any moment after the start: one line, exit code 130 or 143, no traceback."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tools.datasets import ROOT, command

pytestmark = pytest.mark.slow


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*arguments),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def is_importing(pid: int) -> bool:
    """Say whether the process has begun to import what the command line needs."""
    return "msgspec" in Path(f"/proc/{pid}/maps").read_text()


def has_workers(pid: int) -> bool:
    return bool(Path(f"/proc/{pid}/task/{pid}/children").read_text())


def is_group_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    ("number", "num_signals"), [(signal.SIGINT, 1), (signal.SIGINT, 2), (signal.SIGINT, 3), (signal.SIGTERM, 1)]
)
@pytest.mark.parametrize("is_due", [is_importing, has_workers])
def test_ctrl_c(images: Path, tmp_path: Path, is_due: Callable[[int], bool], number: int, num_signals: int) -> None:
    code, word = (143, "ended by SIGTERM") if number == signal.SIGTERM else (130, "interrupted")
    process = start("pack", images, tmp_path / "out", "--gpus", "2", "--workers", "2", "--json")
    deadline = time.monotonic() + 60
    while not is_due(process.pid):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.002)
    for _ in range(num_signals):
        if number == signal.SIGTERM:
            process.terminate()
        else:
            os.killpg(process.pid, number)
        time.sleep(0.05)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert errors.count("\n") == 1, errors
    assert errors.startswith(f"shardpack: {word}")
    assert out.count("\n") == 1
    assert f'"exit_code":{code}' in out
    deadline = time.monotonic() + 60
    while is_group_alive(process.pid):  # workers notice soon that their parent is gone
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_an_interrupt_that_a_library_swallows_ends_the_process() -> None:
    code = (
        "import os, signal, sys\n"
        "from packer.cli.start import InterruptHandler\n"
        "handler = InterruptHandler()\n"
        "handler.install()\n"
        "handler.is_running = True\n"
        "class Swallows:\n"
        "    def __del__(self):\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "del (value := [Swallows()])[0]\n"
        "print('went on')\n"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (130, "", "shardpack: interrupted\n")


def test_a_process_that_ignores_it_goes_on(images: Path) -> None:
    process = subprocess.Popen(
        ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *command("plan", images, "--gpus", "2")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not is_importing(process.pid):
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
