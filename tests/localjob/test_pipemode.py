"""SageMaker's own PipeModeDataset reads the FIFOs of a local job, so they are what real jobs are fed.

It needs a Python 3.10 with tests/tools/pipemode.txt, an environment that `make test` makes where it finds one;
SHARDPACK_PIPEMODE_PYTHON names another.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import cast

import pytest

from packer.dataset.manifest import ShardEntry
from packer.formats.registry import get_format
from packer.specs import FormatName
from tests.localjob.jobs import ROOT, make_small, result_of, run

pytestmark = [pytest.mark.slow, pytest.mark.tensorflow]

READER = Path(__file__).with_name("read_pipemode.py")
NAMES = {FormatName.TFRECORD: "TFRecord", FormatName.RECORDIO: "RecordIO"}
"""The reader's name of each container that it knows."""


@pytest.fixture(scope="module")
def pipemode_python() -> str:
    """An interpreter that has PipeModeDataset."""
    path = os.environ.get("SHARDPACK_PIPEMODE_PYTHON") or str(ROOT / ".venv-pipemode/bin/python")
    if not Path(path).exists():
        pytest.skip("no environment with PipeModeDataset, which needs Python 3.10: tests/tools/install_pipemode.sh")
    return path


@pytest.mark.may_skip
@pytest.mark.parametrize("container", NAMES)
def test_pipemode_dataset_reads_the_records_that_were_packed(
    pipemode_python: str, tmp_path: Path, container: FormatName
) -> None:
    manifest = make_small(tmp_path / "set", container=container)
    options = ("--instances", 2, "--mode", "Pipe", "--splits", "train", "--shuffle-seed", 0, "--json")
    out = tmp_path / "out"
    out.mkdir()
    done = run(tmp_path / "set", *options, command=[pipemode_python, READER, out, NAMES[container]])
    assert done.returncode == 0, done.stderr

    def read(shard: ShardEntry) -> bytes:
        return (tmp_path / "set" / shard.key).read_bytes()

    packed = Counter(
        bytes(cast("bytes", record.payload))
        for shard in manifest.split("train").shards
        for record in get_format(container).iter_buffer(memoryview(read(shard)), name=shard.key)
    )
    ranks = [json.loads((out / f"{rank}.json").read_text()) for rank in (0, 1)]
    for epoch in (0, 1):
        assert Counter(bytes.fromhex(record) for rank in ranks for record in rank[epoch]) == packed
        assert len(ranks[0][epoch]) == len(ranks[1][epoch])
    assert [(use["epochs_read"], use["epochs_closed_early"]) for use in result_of(done)["channels"]] == [(2, 0)] * 2
