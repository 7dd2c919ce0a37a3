"""Jobs on a cluster that loses things: spark-submit as a user runs it, the package as it is shipped, bytes as ever.

The package is a wheel as a zip file, or where SHARDPACK_ARCHIVE names one, an archive of `make archive`. With
SHARDPACK_ENDURANCE=1 there are 20 schedules in place of three (`make cluster-kills`).
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("pyspark")

from pyspark.find_spark_home import _find_spark_home

from tests.tools.build_wheels import build_pure_wheel
from tests.tools.datasets import ROOT, digests, image_bytes
from tests.tools.spark_cluster import LIMIT_S, SparkCluster, WorkerHost, spark_cluster, wait_for
from tests.tools.submit import Submitter

pytestmark = [pytest.mark.spark, pytest.mark.slow, pytest.mark.may_skip]

NUM_IMAGES = 240
OPTIONS = ("--gpus", "12", "--resize", "64", "--stratify", "--allow-fill", "--split", "train=0.8,val=0.2")
ENDURANCE = os.environ.get("SHARDPACK_ENDURANCE") == "1"
KINDS = ("executor", "driver", "host", "worker", "stopped")
SCHEDULES = [(KINDS[n % 5], n) for n in range(20)] if ENDURANCE else [(kind, 0) for kind in KINDS[:3]]


@dataclass(frozen=True, slots=True)
class Shipped:
    """The package as nodes get it."""

    program: Path
    options: tuple[str, ...]
    """Of spark-submit."""
    driver_python: Path
    worker_python: str
    local_python: Path = Path(sys.executable)
    """Has the same libraries, whose releases decide bytes of tables, and the package."""


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Shipped:
    folder = tmp_path_factory.mktemp("shipped")
    if archive := os.environ.get("SHARDPACK_ARCHIVE"):
        with tarfile.open(archive) as file:
            file.extractall(folder / "driver", filter="fully_trusted")
        (program,) = folder.glob("driver/lib/python3*/site-packages/packer/programs/emr_pack.py")
        options = ("--archives", f"{Path(archive).resolve()}#environment")
        python = folder / "driver/bin/python"
        return Shipped(program, options, python, "./environment/bin/python", local_python=python)
    wheel = build_pure_wheel(folder)
    package = wheel.rename(folder / "shardpack.zip")
    with zipfile.ZipFile(package) as file:
        program = Path(file.extract("packer/programs/emr_pack.py", folder))
    python = Submitter(folder).python  # has the libraries, and not the package
    return Shipped(program.rename(folder / "emr_pack.py"), ("--py-files", str(package)), python, str(python))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkCluster]:
    with spark_cluster(tmp_path_factory.mktemp("cluster"), Path(_find_spark_home())) as found:
        yield found


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images that take a task half a second, so that there is a middle to lose something in."""
    folder = tmp_path_factory.mktemp("photos")
    images = [image_bytes(number, width=900, height=700) for number in range(12)]
    for number in range(NUM_IMAGES):
        path = folder / f"c{number % 3}" / f"{number:04d}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(images[number % 12])
    return folder


@dataclass(frozen=True, slots=True)
class JobInput:
    """What every job has."""

    shipped: Shipped
    photos: Path
    expected: dict[str, str]
    """Digests of what one process packs."""


@pytest.fixture(scope="module")
def job_input(shipped: Shipped, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> JobInput:
    dest = tmp_path_factory.mktemp("expected") / "out"
    command = [str(shipped.local_python), "-m", "packer", "pack", str(photos), str(dest), *OPTIONS, "--workers", "2"]
    where = ROOT if shipped.local_python == Path(sys.executable) else dest.parent
    subprocess.run(command, check=True, capture_output=True, cwd=where)
    return JobInput(shipped, photos, digests(dest))


class Job:
    """A run of spark-submit in a folder of its own."""

    def __init__(self, cluster: SparkCluster, given: JobInput, dest: Path, *more: str) -> None:
        shipped, photos = given.shipped, given.photos
        command = [f"{cluster.spark_home}/bin/spark-submit", *cluster.driver_options, *shipped.options]
        command += [str(shipped.program), str(photos), str(dest), *OPTIONS, *more]
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYSPARK"))}
        environment |= {"PYSPARK_DRIVER_PYTHON": str(shipped.driver_python), "PYSPARK_PYTHON": shipped.worker_python}
        self.log = dest.with_suffix(f".{len(more)}.log")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env=environment, cwd=dest.parent, start_new_session=True
            )
        self.dest = dest

    def wait_for_shards(self, count: int) -> None:
        """Wait until so many shards are there and the job goes on. Fails when the job has ended."""

        def is_so() -> bool:
            assert self.process.poll() is None, f"ended before it lost anything:\n{self.tail()}"
            return len(list(self.dest.glob("*/*.tfrecord"))) >= count

        wait_for(is_so, f"{count} shards")

    def finish(self) -> int:
        return self.process.wait(LIMIT_S)

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]


def lose(kind: str, host: WorkerHost, job: Job) -> None:
    """Take something away from a job that runs."""
    if kind == "host":
        host.set_link("down")
    elif kind == "worker":
        (worker,) = host.find("deploy.worker.Worker")
        os.kill(worker, signal.SIGKILL)
    elif kind == "driver":
        os.killpg(job.process.pid, signal.SIGKILL)
        job.process.wait()
    else:
        text, number = {
            "executor": ("CoarseGrainedExecutorBackend", signal.SIGKILL),
            "stopped": ("pyspark.daemon", signal.SIGSTOP),
        }[kind]
        found = host.find(text)
        assert found, f"no {kind} on {host.name}"
        for pid in found:
            os.kill(pid, number)


@pytest.mark.parametrize(("kind", "seed"), SCHEDULES)
def test_what_is_lost_changes_no_byte(
    cluster: SparkCluster, job_input: JobInput, tmp_path: Path, kind: str, seed: int
) -> None:
    cluster.heal()
    rng = random.Random(seed)
    dest = tmp_path / "out"
    job = Job(cluster, job_input, dest)
    try:
        job.wait_for_shards(rng.randint(1, 8))
        with_executor = [host for host in cluster.hosts if host.find("CoarseGrainedExecutorBackend")]
        lose(kind, rng.choice(with_executor), job)
        if kind == "driver":
            assert not (dest / "manifest.json").exists()
            job = Job(cluster, job_input, dest, "--resume")
        assert job.finish() == 0, job.tail()
        assert kind not in ("executor", "worker") or "Lost executor" in job.log.read_text(errors="replace")
    finally:
        if job.process.poll() is None:
            os.killpg(job.process.pid, signal.SIGKILL)
            job.process.wait()
    assert digests(dest) == job_input.expected
