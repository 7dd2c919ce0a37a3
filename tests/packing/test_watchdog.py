"""An item that takes too long is left behind, and the items after it are done; others are left alone."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from packer.imaging.library_messages import captured_stderr
from packer.packing.watchdog import Turn, run_in_turns

pytestmark = pytest.mark.slow

HEAD = "import ctypes, re, time\nfrom packer.packing.watchdog import run_in_turns\n"


def run(program, *, stop_s=0.0):
    """Run a program that prints a line when it is ready; stop it for a while then, if asked."""
    process = subprocess.Popen(
        [sys.executable, "-c", HEAD + program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    if stop_s:
        process.send_signal(signal.SIGSTOP)
        time.sleep(stop_s)
        process.send_signal(signal.SIGCONT)
    output, errors = process.communicate(timeout=60)
    return process.returncode, output + errors


class Items:
    """Some items, done in their order; what is done of each, in which thread, and which were too slow."""

    def __init__(self, *actions):
        self._left = enumerate(actions)
        self.done = []
        self.slow = []
        self.threads = set()

    def work(self, turn: Turn) -> None:
        self.threads.add(threading.get_ident())
        for index, action in self._left:
            turn.begin(index)
            action()
            if not turn.end():
                return
            self.done.append(index)

    def run(self, limit_s):
        run_in_turns(self.work, on_slow=self.slow.append, limit_s=limit_s)


def hang():
    """As a decoder in C does, which lets other threads run."""
    ctypes.CDLL(None).usleep(2_500_000)


def quick():
    """Nothing to do."""


def test_others_go_on_without_items_that_hang():
    items = Items(quick, hang, quick, hang, quick)

    items.run(limit_s=0.4)

    assert (items.done, items.slow) == ([0, 2, 4], [1, 3])
    assert len(items.threads) == 3
    time.sleep(2.5)  # those left behind come to their ends
    assert (items.done, items.slow) == ([0, 2, 4], [1, 3])


def test_what_a_thread_raises_that_was_left_behind_is_nobodys():
    def fail_late():
        hang()
        raise ValueError("late")

    items = Items(fail_late, quick)
    items.run(limit_s=0.4)
    time.sleep(2.5)

    assert (items.done, items.slow) == ([1], [0])


def test_errors_of_items_and_of_rejects_end_the_work():
    def fail():
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        Items(quick, fail, quick).run(limit_s=5)

    def refuse(_):
        raise ValueError("no rejects")

    with pytest.raises(ValueError, match="no rejects"):
        run_in_turns(Items(hang).work, on_slow=refuse, limit_s=0.4)


def test_standard_error_is_not_kept_by_a_thread_that_was_left_behind(capfd):
    """Else every other TIFF would wait for it, and be too slow as well."""

    def hang_in_libtiff():
        with captured_stderr():
            hang()

    def say(text):
        os.write(2, text)

    def decode():
        with captured_stderr():
            say(b"caught\n")
        say(b"told\n")

    items = Items(hang_in_libtiff, decode, hang_in_libtiff, decode)
    items.run(limit_s=0.4)
    time.sleep(2.5)
    with captured_stderr():
        say(b"caught as well\n")
    say(b"end\n")

    assert (items.done, items.slow) == ([1, 3], [0, 2])
    assert capfd.readouterr().err == "told\ntold\nend\n"


def test_one_that_also_keeps_the_interpreters_lock():
    """No other thread of Python runs any more, so only the kernel can end it."""
    program = """
def work(turn):
    turn.begin(1)
    print("ready", flush=True)
    re.match("(a|aa)+$", "a" * 100 + "b")
run_in_turns(work, on_slow=print, limit_s=0.5)
"""
    code, _ = run(program)

    assert code == -signal.SIGPROF


def test_many_items_take_longer_together():
    items = Items(*[lambda: time.sleep(0.02)] * 100)
    items.run(limit_s=1.5)
    assert (items.done, items.slow) == (list(range(100)), [])
    assert len(items.threads) == 1


def test_time_between_items_does_not_count():
    program = """
def work(turn):
    turn.begin(1)
    assert turn.end()
    time.sleep(1)
run_in_turns(work, on_slow=print, limit_s=0.3)
"""
    assert run(program) == (0, "")


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="no process can be stopped here")
def test_a_process_that_was_stopped_goes_on():
    program = """
def work(turn):
    turn.begin(1)
    print("ready", flush=True)
    time.sleep(0.2)
    assert turn.end()
run_in_turns(work, on_slow=print, limit_s=0.8)
"""
    assert run(program, stop_s=1.5) == (0, "")


def test_nothing_is_armed_afterwards():
    program = """
import signal
def work(turn):
    time.sleep(0.1)
    assert signal.getitimer(signal.ITIMER_PROF)[0] > 0
run_in_turns(work, on_slow=print, limit_s=300)
assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)
"""
    assert run(program) == (0, "")
