"""SIGTERM in processes of their own, as it ends them."""

import signal
import subprocess
import sys

import pytest

HEAD = (
    "import contextlib, ctypes, signal, sys, time\n"
    "from packer.trainer.core.stopping import ending_at_sigterm\n"
    "ready = lambda: print('ready', flush=True)\n"
)
BODIES = {
    "Python code": "ready(); time.sleep(60)",
    "code that swallows all exceptions": """
        ready()
        while True:
            with contextlib.suppress(BaseException):
                time.sleep(0.001)
    """,
    "code that cleans up for long": """
        try:
            ready()
            time.sleep(60)
        finally:
            time.sleep(60)
    """,
    "a library that waits for a lock": """
        mutex = ctypes.create_string_buffer(64)
        ctypes.CDLL(None).pthread_mutex_lock(mutex)
        ready()
        ctypes.CDLL(None).pthread_mutex_lock(mutex)
    """,
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_whatever_runs_is_ended(body):
    code = HEAD + "with ending_at_sigterm():\n    if True:\n        " + body
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    output, said = process.communicate(timeout=30)
    assert process.returncode == 143
    assert output == ""
    assert said == "stopped by SIGTERM; the same command goes on after the last checkpoint\n"


def test_other_signals_and_the_end_of_the_body_end_nothing():
    code = HEAD + (
        "interrupts = 0\n"
        "with ending_at_sigterm():\n"
        "    try:\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "    except KeyboardInterrupt:\n"
        "        interrupts += 1\n"
        "    time.sleep(0.1)\n"
        "assert interrupts == 1\n"
        "assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL\n"
        "assert signal.set_wakeup_fd(-1) == -1"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def run_deferring(body, **attributes):
    """Run code that defers its end, send it SIGTERM once it is ready, and return its exit code, output and errors."""
    settings = "".join(f"stopping.{name} = {value!r}\n" for name, value in attributes.items())
    code = HEAD + "import packer.trainer.core.stopping as stopping\n" + settings
    code += "with ending_at_sigterm() as stopper:\n    with stopper.deferring():\n        ready()\n        " + body
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    output, said = process.communicate(timeout=30)
    return process.returncode, output, said


def test_what_defers_its_end_is_marked_and_ends_itself():
    body = "while not stopper.is_marked: time.sleep(0.001)\n        stopper.end('saved')"
    assert run_deferring(body) == (143, "", "saved\n")


def test_what_defers_its_end_for_too_long_is_ended():
    status, output, said = run_deferring("time.sleep(60)", SAVE_LIMIT_S=0.1)
    assert (status, output) == (143, "")
    assert said.startswith("stopped by SIGTERM; the state could not be saved within 0.1 s; the same command goes on")
