"""The whole way with photographs: killed in the middle, resumed, verified, and equal to a run that nobody disturbed."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.tools.datasets import ROOT, command, digests, read_manifest, run_command

pytestmark = [pytest.mark.sample, pytest.mark.slow]

OPTIONS = ("--gpus", "2", "--split", "train=0.9,val=0.1", "--shard-size", "2MB", "--workers", "2", "--allow-fill")


@pytest.mark.parametrize("format_name", ["tfrecord", "recordio"])
def test_killed_and_resumed(sample_dir: Path, tmp_path: Path, format_name: str) -> None:
    options = (*OPTIONS, "--format", format_name)
    done = run_command("pack", sample_dir, tmp_path / "undisturbed", *options)
    assert done.returncode == 0, done.stderr
    dest = tmp_path / "out"
    process = subprocess.Popen(
        command("pack", sample_dir, dest, *options), cwd=ROOT, start_new_session=True, stdout=subprocess.DEVNULL
    )
    while len(list(dest.glob("meta/receipts/*/*"))) < 2:
        assert process.poll() is None, "expected to be killed in the middle"
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = run_command("pack", sample_dir, dest, *options, "--resume")
    assert done.returncode == 0, done.stderr
    assert digests(dest) == digests(tmp_path / "undisturbed")
    done = run_command("verify", dest, "--decode")
    assert done.returncode == 0, done.stdout
    manifest = read_manifest(dest)
    assert sum(manifest.rejects.values()) <= 0.01 * sum(split.num_records for split in manifest.splits.values())
    assert all(20 < deviation < 120 for deviation in manifest.pixels.std)
