"""Jobs on a data set in a bucket: downloaded, shown and streamed as one in a folder is."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from packer.cli.main import run as run_cli
from packer.specs import StoreOptions
from packer.stores.open_store import open_store
from tests.localjob.jobs import FIRST_VAL, NUM_TRAIN, NUM_VAL, make_small, run

pytestmark = pytest.mark.slow

READER = Path(__file__).with_name("read_channels.py")


@pytest.fixture
def dest(tmp_path: Path, s3_endpoint: str, s3_bucket: str) -> str:
    """URI of a small data set."""
    make_small(tmp_path / "set")
    uri = f"s3://{s3_bucket}/sets/small"
    store = open_store(uri, StoreOptions(endpoint_url=s3_endpoint))
    for path in (tmp_path / "set").rglob("*.*"):
        store.put(str(path.relative_to(tmp_path / "set")), [path.read_bytes()])
    return uri


@pytest.mark.parametrize("mode", ["File", "FastFile", "Pipe"])
def test_each_record_of_a_bucket_is_read_exactly_once(dest: str, tmp_path: Path, s3_endpoint: str, mode: str) -> None:
    options = ("--instances", 2, "--mode", mode, "--endpoint-url", s3_endpoint)
    done = run(dest, *options, command=[sys.executable, READER, tmp_path, 0])
    assert done.returncode == 0, done.stderr
    ranks = [json.loads((tmp_path / f"{rank}.json").read_text())["epochs"] for rank in (0, 1)]
    for epoch in (0, 1):
        assert sorted(ranks[0]["train"][epoch] + ranks[1]["train"][epoch]) == list(range(NUM_TRAIN))
        val = list(range(FIRST_VAL, FIRST_VAL + NUM_VAL))
        assert sorted(ranks[0]["val"][epoch] + ranks[1]["val"][epoch]) == val


def test_a_bucket_cannot_be_mounted(dest: str, s3_endpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--mode", "FileSystem", "--endpoint-url", s3_endpoint)
    assert run_cli(["sagemaker-local", dest, *options, "--", "true"]) == 2
    assert "--mode FileSystem: expected a data set in a folder, as if mounted" in capsys.readouterr().err
