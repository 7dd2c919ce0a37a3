import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from packer.engines import stalled
from packer.engines.stalled import Signs, iterate_limited, run_limited
from packer.errors import TaskStalledError

LIMIT_S = 0.3


def run(call, signs=None, *, limit_s=LIMIT_S):
    return run_limited(call, signs or Signs(), what="task 5", limit_s=limit_s)


def test_the_result_comes_from_another_thread() -> None:
    assert run(threading.get_ident) != threading.get_ident()


def test_an_error_is_the_callers() -> None:
    with pytest.raises(ZeroDivisionError):
        run(lambda: 1 // 0)


def test_a_blocked_read_ends(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TaskStalledError, match=r"^task 5: expected .* at least every 0\.3 s, found neither"):
        run((tmp_path / "pipe").read_bytes)


def test_signs_of_progress_keep_a_task() -> None:
    signs = Signs()

    def work() -> str:
        end_s = time.monotonic() + 2.5
        while time.monotonic() < end_s:
            time.sleep(0.05)
            signs.give()
        return "done"

    assert run(work, signs, limit_s=2) == "done"


def test_computing_keeps_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even a process that gets a hundredth of a processor."""
    monkeypatch.setattr(stalled, "_BUSY_S", 0.01)

    def work() -> str:
        end_s = time.monotonic() + 2.5
        while time.monotonic() < end_s:
            sum(range(10_000))
        return "done"

    assert run(work, limit_s=2) == "done"


def test_each_value_of_an_iterator_has_the_time() -> None:
    def values() -> Iterator[int]:
        yield 1
        yield 2
        threading.Event().wait()

    found = iterate_limited(values(), what="sender 3", limit_s=LIMIT_S)
    assert [next(found), next(found)] == [1, 2]
    with pytest.raises(TaskStalledError, match="sender 3"):
        next(found)
    assert list(iterate_limited(iter([None, 0, ()]), what="sender 3", limit_s=5)) == [None, 0, ()]


def test_a_process_with_a_blocked_thread_ends() -> None:
    code = (
        "import threading\n"
        "from packer.engines.stalled import Signs, run_limited\n"
        "run_limited(threading.Event().wait, Signs(), what='task 1', limit_s=0.3)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert found.stderr.splitlines()[-1].startswith("packer.errors.TaskStalledError: task 1: expected")
