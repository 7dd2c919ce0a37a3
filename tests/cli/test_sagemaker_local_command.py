"""The command `sagemaker-local`: its options, what it refuses, and one job that ends well."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from packer.cli.main import run
from tests.localjob.jobs import make_small


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    make_small(folder)
    return folder


@pytest.mark.parametrize(
    ("options", "command", "said"),
    [
        ((), ["no-such-program"], "COMMAND: expected a program, found no 'no-such-program' on PATH"),
        (("--instances", "3"), ["true"], "expected shards that divide by 3 ranks"),
        (("--instances", "0"), ["true"], "--instances: expected at least 1, got 0"),
        (("--hyperparameter", "x"), ["true"], "--hyperparameter: expected K=V, got 'x'"),
        (("--mode", "FastFile", "--shuffle-seed", "1"), ["true"], "--shuffle-seed: expected --mode File or Pipe"),
        (("--grace-s", "-1"), ["true"], "--grace-s: expected 0 to 3600 seconds"),
        (("--mode", "Stream"), ["true"], "--mode: expected one of File, FastFile, Pipe, FileSystem, got 'Stream'"),
        ((), [], "Missing argument 'COMMAND'"),
    ],
)
def test_what_cannot_be_is_said_before_the_start(
    small: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], command: list[str], said: str
) -> None:
    assert run(["sagemaker-local", str(small), *options, "--", *command]) == 2
    assert said in capsys.readouterr().err


def test_mpi_needs_mpirun(
    small: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "train"
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run(["sagemaker-local", str(small), "--mpi", "--", "train"]) == 2
    assert "--mpi: expected mpirun of Open MPI on PATH, found none" in capsys.readouterr().err


def test_a_split_that_is_not_there_is_named(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sagemaker-local", str(small), "--splits", "test", "--", "true"]) == 1
    assert "split 'test' is not in the data set; expected one of train, val" in capsys.readouterr().err


# Rank 1 fails only when rank 0 is gone, which would be stopped otherwise.
ONE_AFTER_THE_OTHER = """
echo $SM_CHANNELS
if [ $RANK = 0 ]; then echo $$ >"$0.new"; mv "$0.new" "$0"; exit 0; fi
until [ -e "$0" ]; do sleep 0.01; done
while kill -0 $(cat "$0") 2>&-; do sleep 0.01; done
exit 1
"""


def test_json_is_the_last_thing_on_standard_output(
    small: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    command = ["sh", "-c", ONE_AFTER_THE_OTHER, str(tmp_path / "pid")]
    assert run(["sagemaker-local", str(small), "--gpus-per-instance", "2", "--json", "--", *command]) == 1
    output, errors = capsys.readouterr()
    document = json.loads(output)
    assert document["ok"] is False
    assert [rank["exit_code"] for rank in document["ranks"]] == [0, 1]
    assert '[0] ["meta","train","val"]' in errors


def test_json_among_the_options_of_the_command_is_not_ours(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sagemaker-local", str(small), "--", "no-such-program", "--json"]) == 2
    assert capsys.readouterr().out == ""


def test_the_help_says_what_is_not_proved(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sagemaker-local", "--help"]) == 0
    assert "What it does not prove" in capsys.readouterr().out
