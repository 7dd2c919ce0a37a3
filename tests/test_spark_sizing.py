"""Sizes of jobs on Spark against what is counted by hand, and nodes that are none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from packer.errors import OptionsError
from packer.spark_sizing import parse_nodes, size_job
from tests.cli.commands import shardpack
from tests.tools.datasets import write_images


def test_glue_counts_its_driver_among_the_workers() -> None:
    found = size_job(parse_nodes("G.1X:11"), num_tasks=80, images_per_task=1000, cpu_s_per_image=0.01)
    assert (found.num_executors, found.tasks_at_a_time) == (10, 40)
    assert found.pack_s == pytest.approx(2 * 1000 * 0.01)
    assert found.idle_share == 0
    assert found.dollars == pytest.approx(11 * 0.44 * (20 + 120) / 3600)


def test_a_last_round_that_is_not_full_takes_as_long_as_a_full_one() -> None:
    full, one_more = (
        size_job(parse_nodes("m6i.2xlarge:2"), num_tasks=n, images_per_task=100, cpu_s_per_image=0.02) for n in (16, 17)
    )
    assert full.tasks_at_a_time == 16
    assert one_more.pack_s == pytest.approx(2 * full.pack_s)
    assert one_more.idle_share == pytest.approx(15 / 32)
    assert full.dollars == pytest.approx(3 * 0.384 * 1.25 * (2 + 480) / 3600)  # and the primary node


def test_memory_bounds_the_executors_of_a_node() -> None:
    """Four tasks take 3,248 MB, of which 16 GB less the system's quarter hold three; the vCPUs would do for two."""
    found = size_job(parse_nodes("c6i.2xlarge:1"), num_tasks=8, images_per_task=1, cpu_s_per_image=1)
    assert (found.num_executors, found.executor_memory_mb) == (2, 3248)
    found = size_job(parse_nodes("c6i.8xlarge:1"), num_tasks=8, images_per_task=1, cpu_s_per_image=1)
    assert found.num_executors == 8


@pytest.mark.parametrize("text", ["G.1X", "G.1X:0", "G.1X:1", "g5.xlarge:2", "10dpu", "serverless:99999", ":3"])
def test_nodes_that_are_none(text: str) -> None:
    with pytest.raises(OptionsError, match="`on`: "):
        parse_nodes(text)


@pytest.mark.slow
def test_plan_says_it_without_a_spark(tmp_path: Path, capfd: Any) -> None:
    images = write_images(tmp_path / "images", 40)
    command = ("plan", images, "--gpus", 2, "--allow-fill", "--engine", "spark", "--on", "serverless:3")
    code, out, errors = shardpack(capfd, *command, "--json")
    assert code == 0, errors
    found = json.loads(out)
    assert (found["num_executors"], found["tasks_at_a_time"], found["num_tasks"]) == (3, 12, 2)
    assert found["cpu_s_per_image"] > 0
    code, out, errors = shardpack(capfd, *command)
    assert code == 0, errors
    assert "on serverless:3: 3 executors of 3,248 MB, 12 of 2 shards at a time" in out
    code, _, errors = shardpack(capfd, "plan", images, "--gpus", 2, "--on", "G.1X:3")
    assert (code, "or --engine spark" in errors) == (2, True)
