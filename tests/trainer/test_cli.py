import inspect
import os
import subprocess
import sys

import pytest

from packer.trainer.cli import _FLAGS, drop_flag_values, train_command


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("--epochs 1 --anonymous True --seed 0", "--epochs 1 --anonymous --seed 0"),
        ("--requester-pays true", "--requester-pays"),
        ("--anonymous False --evaluate-only 1 --epochs 1", "--evaluate-only --epochs 1"),
        ("--anonymous --requester-pays", "--anonymous --requester-pays"),
        ("--anonymous 0 --seed 0", "--seed 0"),
        ("--anonymous maybe", "--anonymous maybe"),  # which the command line refuses
        ("", ""),
    ],
)
def test_flags_may_have_the_values_that_the_toolkit_gives_them(arguments, expected):
    assert drop_flag_values(arguments.split()) == expected.split()


def test_every_flag_is_known():
    parameters = inspect.signature(train_command).parameters.values()
    flags = {f"--{parameter.name.replace('_', '-')}" for parameter in parameters if parameter.default is False}
    assert flags == set(_FLAGS)


@pytest.mark.slow
def test_the_command_line_takes_them(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "packer.trainer", "--anonymous", "True", "--data", str(tmp_path), "--epochs", "0"],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ,
    )
    assert (done.returncode, done.stderr) == (2, "error: --epochs: expected at least 1, got 0\n")
