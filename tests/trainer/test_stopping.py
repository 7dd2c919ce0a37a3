"""SIGTERM in processes of their own, as it ends them."""

import signal
import subprocess
import sys

import pytest

READY = "print('ready', flush=True)"


def run_until_ready(body, grace_s):
    code = (
        "import ctypes, signal, sys, time\n"
        "from packer.trainer.stopping import ending_at_sigterm\n"
        f"with ending_at_sigterm({grace_s}):\n"
        "    try:\n"
        f"        {body}\n"
        "    finally:\n"
        "        print('left', flush=True)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


def test_python_code_is_left_as_by_an_exception():
    process = run_until_ready(f"{READY}; time.sleep(30)", 20)
    process.send_signal(signal.SIGTERM)
    output, said = process.communicate(timeout=10)
    assert process.returncode == 143
    assert output == "left\n"
    assert said == "stopped by SIGTERM; the same command goes on after the last epoch that has a checkpoint\n"


@pytest.mark.slow
def test_a_thread_that_waits_in_a_library_does_not_hold_the_process():
    lock = "ctypes.CDLL(None).pthread_mutex_lock(mutex)"
    body = f"mutex = ctypes.create_string_buffer(64); {lock}; {READY}; {lock}"
    process = run_until_ready(body, 0.3)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.2)
    process.send_signal(signal.SIGTERM)
    output, said = process.communicate(timeout=10)
    assert process.returncode == 143
    assert (output, said) == ("", "ended after SIGTERM; a library call did not return in time\n")


def test_handlers_are_put_back():
    code = (
        "import signal\n"
        "from packer.trainer.stopping import ending_at_sigterm\n"
        "with ending_at_sigterm():\n"
        "    pass\n"
        "assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL\n"
        "assert signal.set_wakeup_fd(-1) == -1"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=20)
