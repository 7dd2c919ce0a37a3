"""What is wrong with a command line is one line in the same words, whichever command it is."""

from collections.abc import Callable

import pytest

from packer.cli.main import run
from packer.trainer import cli as trainer
from packer.trainer.feed import feed_command
from packer.trainer.struct_command import run_alone


def shardpack(arguments: list[str]) -> int:
    return run(arguments)


def train(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as stop:
        run_alone(trainer.app, arguments, program="python -m packer.trainer")
    return int(str(stop.value))


def feed(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as stop:
        feed_command.main(arguments)
    return int(str(stop.value))


@pytest.mark.parametrize(
    ("command", "line", "expected"),
    [
        (shardpack, "bench x --batch-size many", "shardpack: --batch-size: expected a whole number, got 'many'"),
        (shardpack, "bench x --batch-size=0", "shardpack: --batch-size: expected at least 1, got '0'"),
        (shardpack, "bench x --seconds fast", "shardpack: --seconds: expected a number, got 'fast'"),
        (shardpack, "pack --worker 2", "shardpack: No such option: --worker; did you mean --workers?"),
        (shardpack, "pack a b c", "shardpack: Got unexpected extra argument(s) (c)"),
        (train, "--dat x", "error: No such option: --dat; did you mean --data?"),
        (train, "--epoch 3", "error: No such option: --epoch; did you mean --epochs?"),
        (train, "--epochs many", "error: --epochs: expected a whole number, got 'many'"),
        (train, "--learning-rate=fast", "error: --learning-rate: expected a number, got 'fast'"),
        (train, "--precision bf61",
         "error: --precision: expected one of fp32, bf16, fp16, got 'bf61'; did you mean bf16?"),
        (train, "--optimizer zzz", "error: --optimizer: expected one of momentum, adamw, got 'zzz'"),
        (train, "--decay-epochs 30,b", "error: --decay-epochs: expected whole numbers such as 30,60,80, got '30,b'"),
        (train, "--data", "error: Option '--data' requires an argument."),
        (train, "extra", "error: Got unexpected extra argument(s) (extra)"),
        (train, "--framework tourch --data x", "error: --framework: expected one of torch, keras, mxnet, got 'tourch'"),
        (feed, "--dat x", "error: No such option: --dat; did you mean --data?"),
        (feed, "--port http", "error: --port: expected a whole number, got 'http'"),
    ],
)  # fmt: skip
def test_one_line(
    command: Callable[[list[str]], int], line: str, expected: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert command(line.split()) == 2
    out, errors = capfd.readouterr()
    assert out == ""
    assert errors == expected + "\n"


@pytest.mark.parametrize("command", [train, feed])
def test_help(command: Callable[[list[str]], int], capfd: pytest.CaptureFixture[str]) -> None:
    assert command(["--help"]) == 0
    out, errors = capfd.readouterr()
    assert errors == ""
    for heading in ("Usage: python -m packer.trainer", "\nOptions:", "\nRun:", "\nBuckets:", "\nExamples:"):
        assert heading in out
