"""What a machine or a session without a Spark of its own is told: one line, and exit code 2."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pyspark")

from tests.tools.datasets import write_images

pytestmark = [pytest.mark.spark, pytest.mark.slow]
_CLEARED = ("SPARK_REMOTE", "SPARK_CONNECT_MODE_ENABLED", "PYSPARK_GATEWAY_PORT", "JAVA_HOME")


def pack_on_spark(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    images = write_images(folder / "images", 8)
    environment = {name: value for name, value in os.environ.items() if name not in _CLEARED}
    command = [sys.executable, "-m", "packer", "pack", str(images), str(folder / "out"), "--engine", "spark"]
    return subprocess.run(
        command, env={**environment, **variables}, capture_output=True, text=True, timeout=120, check=False
    )


def broken_java(folder: Path) -> str:
    program = folder / "java/bin/java"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    return str(program.parents[1])


@pytest.mark.parametrize("name", ["SPARK_REMOTE", "SPARK_CONNECT_MODE_ENABLED"])
def test_spark_connect(tmp_path: Path, name: str) -> None:
    done = pack_on_spark(tmp_path, **{name: "sc://localhost"})
    assert done.returncode == 2
    assert done.stderr.startswith("shardpack: --engine: expected a Spark whose driver is this process, found Spark Con")
    assert done.stderr.count("\n") == 1


def test_no_java(tmp_path: Path) -> None:
    for variables in ({"PATH": str(tmp_path)}, {"JAVA_HOME": str(tmp_path)}):
        done = pack_on_spark(tmp_path, **variables)
        assert done.returncode == 2
        assert done.stderr.startswith("shardpack: --engine: expected Java 17 for spark, but ")
        assert done.stderr.count("\n") == 1
        assert not (tmp_path / "out").exists()


def test_a_java_that_does_not_run(tmp_path: Path) -> None:
    done = pack_on_spark(tmp_path, JAVA_HOME=broken_java(tmp_path))
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("shardpack: --engine: expected a Java that starts Spark: ")
    assert "Traceback" not in done.stderr
