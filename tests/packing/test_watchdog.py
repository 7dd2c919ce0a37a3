"""A process that hangs on one item ends itself and names the item; others are left alone."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from packer.packing.watchdog import ITEM_TOO_SLOW

pytestmark = pytest.mark.slow

HEAD = "import ctypes, re, time\nfrom packer.packing.watchdog import Watchdog\n"


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
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors


def test_a_decoder_that_hangs():
    program = """
with Watchdog(limit_s=0.5) as watchdog:
    with watchdog.item("cats/quick.jpg"):
        pass
    with watchdog.item("cats/1.jpg"):
        ctypes.CDLL(None).sleep(60)
"""
    code, errors = run(program)

    assert code == ITEM_TOO_SLOW
    assert errors == "shardpack: cats/1.jpg: it took more than 0.5 s to decode; this process ends\n"


def test_one_that_also_keeps_the_interpreters_lock():
    """No thread of Python runs any more, so only the kernel can end it."""
    program = """
with Watchdog(limit_s=0.5) as watchdog, watchdog.item("cats/1.jpg"):
    print("ready", flush=True)
    re.match("(a|aa)+$", "a" * 100 + "b")
"""
    code, _ = run(program)

    assert code == -signal.SIGPROF


def test_many_items_take_longer_together():
    program = """
with Watchdog(limit_s=1.5) as watchdog:
    for number in range(100):
        with watchdog.item(str(number)):
            time.sleep(0.02)
"""
    assert run(program) == (0, "")


def test_time_between_items_does_not_count():
    program = """
with Watchdog(limit_s=0.3) as watchdog:
    with watchdog.item("1"):
        pass
    time.sleep(1)
"""
    assert run(program) == (0, "")


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="no process can be stopped here")
def test_a_process_that_was_stopped_goes_on():
    program = """
with Watchdog(limit_s=0.8) as watchdog, watchdog.item("1"):
    print("ready", flush=True)
    time.sleep(0.2)
"""
    assert run(program, stop_s=1.5) == (0, "")


def test_nothing_is_armed_afterwards():
    program = """
import signal
with Watchdog() as watchdog, watchdog.item("1"):
    time.sleep(0.1)
    assert signal.getitimer(signal.ITIMER_PROF)[0] > 0
assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)
"""
    assert run(program) == (0, "")
