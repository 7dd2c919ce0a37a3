"""--log-level and --log-json on every command, and logs of workers on standard error."""

import json
from pathlib import Path

import pytest

from packer.cli.command_group import SUMMARIES
from tests.tools.datasets import run_command

pytestmark = pytest.mark.slow

SMALL = ("--gpus", "2", "--resize", "24", "--workers", "1")


@pytest.mark.parametrize("name", [name for names in SUMMARIES.values() for name in names])
def test_every_command_has_them(name: str) -> None:
    run = run_command(name, "--help", env={"COLUMNS": "200", "PATH": ""})
    assert "--log-level" in run.stdout
    assert "--[no-]log-json" in run.stdout


def test_records_of_this_process_and_of_workers(images: Path, tmp_path: Path) -> None:
    run = run_command("pack", images, tmp_path / "out", *SMALL, "--log-level", "debug", "--log-json", "--json")
    assert run.returncode == 0, run.stderr
    records = [json.loads(line) for line in run.stderr.splitlines()]
    processes = {record["logger"]: record["process"] for record in records}
    assert processes["packer.engines.worker"] != processes["packer.pipeline"]
    assert any("packing: 2 of 2 tasks are done" in record["message"] for record in records)


def test_an_error_is_a_record_too(tmp_path: Path) -> None:
    run = run_command("inspect", tmp_path / "nothing", "--log-json")
    assert run.returncode == 2
    (record,) = [json.loads(line) for line in run.stderr.splitlines()]
    assert (record["level"], "expected a finished data set" in record["message"]) == ("error", True)


def test_silence_without_them(images: Path, tmp_path: Path) -> None:
    run = run_command("pack", images, tmp_path / "out", *SMALL)
    assert (run.returncode, run.stderr) == (0, "")


def test_causes_of_a_place_that_fails(tmp_path: Path) -> None:
    run = run_command("inspect", "http://127.0.0.1:9/set", "--log-level", "debug")
    assert run.returncode == 1
    *causes, last = run.stderr.splitlines()
    assert last.startswith("shardpack: http://127.0.0.1:9/set/manifest.json: the request failed")
    assert any(" debug packer.stores.fsspec_store [" in cause for cause in causes)
