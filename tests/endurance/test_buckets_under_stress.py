"""Runs to an S3 server: one that sleeps while another takes its place over, and ones whose requests fail."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.endurance.conftest import GIVEN, rounds
from tests.tools.buckets import download_prefix, list_keys_of, upload_folder
from tests.tools.datasets import digests, read_manifest
from tests.tools.faults_proxy import Fault, FaultsProxy, run_proxy
from tests.tools.serial_pack import end_of, start_packing

pytestmark = pytest.mark.slow

PLACE_DEPENDENT = ("meta/plan.json", "meta/plan/", "meta/sagemaker/")


@dataclass(frozen=True)
class Place:
    """A bucket to pack to."""

    client: Any
    bucket: str
    endpoint: str

    def start(self, source: object, **options: object) -> subprocess.Popen[str]:
        given = {"resize": "24", "endpoint_url": self.endpoint, "timeout": 2, **GIVEN, **options}
        return start_packing(source=str(source), dest=f"s3://{self.bucket}/packed", **given)

    def has(self, key: str) -> bool:
        return bool(list_keys_of(self.client, self.bucket, f"packed/{key}"))

    def check(self, folder: Path, expected: dict[str, str], *, num_strays: int = 0) -> None:
        """Compare all objects with the files that a run makes on a disk, but for some strays that no manifest names."""
        found = digests(download_prefix(self.client, self.bucket, "packed", folder))
        found, expected = lasting(found), lasting(expected)
        assert {key: found.get(key) for key in expected} == expected
        for split in read_manifest(folder).splits.values():
            assert all(found[shard.key] == shard.sha256 for shard in split.shards)
        assert len(found) <= len(expected) + num_strays, sorted(found.keys() - expected.keys())


def lasting(found: dict[str, str]) -> dict[str, str]:
    return {key: digest for key, digest in found.items() if not key.startswith(PLACE_DEPENDENT)}


@pytest.fixture
def place(s3_endpoint: str, s3_bucket: str) -> Place:
    return Place(boto3.client("s3", endpoint_url=s3_endpoint), s3_bucket, s3_endpoint)


@pytest.mark.parametrize("round_number", rounds(2, 30))
def test_a_sleeper_in_a_bucket(images: Path, expected, place: Place, tmp_path: Path, round_number: int) -> None:
    """A request that was on its way may leave one stray object; nothing that the manifest names is another's."""
    chance = random.Random(round_number)
    theirs = {"quality": 90} if round_number % 3 else {}  # or the very same plan
    wanted = expected(**theirs)
    sleeper = place.start(images)
    while sleeper.poll() is None and not place.has("meta/plan.json"):
        time.sleep(0.005)
    time.sleep(chance.uniform(0.0, 0.6))
    os.kill(sleeper.pid, signal.SIGSTOP)
    wakes_early = round_number % 2 == 1

    winner = place.start(images, overwrite=True, **theirs)
    if wakes_early:  # while the other one clears the place, or packs
        while winner.poll() is None and not place.has("train/"):
            time.sleep(0.005)
        os.kill(sleeper.pid, signal.SIGCONT)
    code, errors = end_of(winner)
    assert code == 0, errors
    os.kill(sleeper.pid, signal.SIGCONT)
    code, errors = end_of(sleeper)
    if code:
        assert "another run took it over meanwhile" in errors
        assert errors.count("\n") == 1
    place.check(tmp_path / "down", wanted, num_strays=1)


def change_faults(proxy: FaultsProxy, chance: random.Random, is_over: Callable[[], bool]) -> None:
    """Let the proxy fail in one way after another, with good times in between, until all is over."""
    while not is_over():
        proxy.fault = chance.choice([None, *Fault])
        proxy.share = chance.uniform(0.05, 0.5)
        deadline = time.monotonic() + chance.uniform(0.1, 1.0)
        while time.monotonic() < deadline and not is_over():
            time.sleep(0.01)


@pytest.mark.parametrize("round_number", rounds(1, 20))
def test_a_schedule_of_faults(images: Path, expected, place: Place, tmp_path: Path, round_number: int) -> None:
    """Faults of all kinds, and kills among them in every other round; the last run goes on to the bytes of a disk."""
    chance, is_killed = random.Random(round_number), round_number % 2 == 1
    wanted = expected()
    source = upload_folder(place.client, place.bucket, images, "photos")
    with run_proxy(place.endpoint, seed=round_number) as proxy:
        shaken = Place(place.client, place.bucket, proxy.endpoint)
        for _ in range(3):
            run = shaken.start(source, resume=True)
            killed_at = proxy.num_requests + (chance.randint(10, 150) if is_killed else 1_000_000)
            change_faults(proxy, chance, lambda: run.poll() is not None or proxy.num_requests > killed_at)  # noqa: B023
            run.kill()
            code, errors = end_of(run)
            assert code in (0, 1, -signal.SIGKILL), errors
            assert errors.count("\n") <= 1, errors
            if code == 0:
                break
        assert proxy.num_faults > 0 or is_killed
    assert end_of(place.start(source, resume=True)) == (0, "")
    place.check(tmp_path / "down", wanted)
