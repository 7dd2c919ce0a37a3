import inspect
import os
import subprocess
import sys
from typing import get_args

import pytest

from packer.trainer.cli import drop_flag_values, list_flags, train_command


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("--epochs 1 --anonymous True --seed 0", "--epochs 1 --anonymous --seed 0"),
        ("--requester-pays true", "--requester-pays"),
        ("--anonymous False --evaluate-only 1 --epochs 1", "--evaluate-only --epochs 1"),
        ("--anonymous --requester-pays", "--anonymous --requester-pays"),
        ("--anonymous 0 --seed 0", "--seed 0"),
        ("--channels-last False --seed 0", "--no-channels-last --seed 0"),
        ("--channels-last true", "--channels-last"),
        ("--anonymous maybe", "--anonymous maybe"),  # which the command line refuses
        ("", ""),
    ],
)
def test_flags_may_have_the_values_that_the_toolkit_gives_them(arguments, expected):
    assert drop_flag_values(arguments.split()) == expected.split()


def test_every_flag_is_known():
    parameters = inspect.signature(train_command).parameters.values()
    flags = {p.name for p in parameters if get_args(p.annotation)[0] in (bool, bool | None)}
    assert {f"--{name.replace('_', '-')}" for name in flags} == set(list_flags())


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
