"""What a cache of a bucket's shards costs and gives:  python -m tests.benchmarks.cache_cost DATASET [--latency-ms 20]

Needs the S3 server that SHARDPACK_S3 names. DATASET is a folder; it is copied to a bucket, and read from both in turn:
from files, from the bucket with an empty cache (first epoch), and with the full one (second epoch). CPU time is that of
the process, in microseconds an image; ratios are of one round each, and the median of the rounds counts. The bucket is
reached through a proxy in a process of its own, once without and once with a latency for each request.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3

from packer import Loader
from packer.specs import StoreOptions


@dataclass(frozen=True)
class Epoch:
    """One pass over a split."""

    cpu_us: float
    images_per_s: float


def measure(loader: Loader, batches: Iterator[object]) -> Epoch:
    cpu_s, clock_s = time.process_time(), time.perf_counter()
    for _ in itertools.islice(batches, loader.steps):
        pass
    num_images = loader.steps * loader.spec.batch_size
    cpu_s, clock_s = time.process_time() - cpu_s, time.perf_counter() - clock_s
    return Epoch(cpu_s / num_images * 1e6, num_images / clock_s)


def open_loader(uri: str, threads: int, store: StoreOptions | None = None, cache: str = "") -> Loader:
    given = {"store": store} if store else {}
    return Loader(uri, "train", batch_size=64, image_px=224, threads=threads, where="process", cache=cache, **given)


def run_round(files: str, bucket: str, store: StoreOptions, threads: int) -> dict[str, Epoch]:
    found = {}
    with open_loader(files, threads) as loader:
        batches = iter(loader)
        measure(loader, batches)  # files come into the system's memory
        found["files"] = measure(loader, batches)
    folder = tempfile.mkdtemp()
    try:
        with open_loader(bucket, threads, store, f"{folder}:10GB") as loader:
            batches = iter(loader)
            found["first"], found["second"] = measure(loader, batches), measure(loader, batches)
    finally:
        shutil.rmtree(folder)
    return found


@contextlib.contextmanager
def uploaded(dataset: Path, endpoint: str) -> Iterator[str]:
    client, name = boto3.client("s3", endpoint_url=endpoint), f"cache-{uuid.uuid4().hex}"
    client.create_bucket(Bucket=name)
    keys = [str(path.relative_to(dataset)) for path in sorted(dataset.rglob("*")) if path.is_file()]
    try:
        for key in keys:
            client.upload_file(str(dataset / key), name, f"d/{key}")
        yield f"s3://{name}/d"
    finally:
        for key in keys:
            client.delete_object(Bucket=name, Key=f"d/{key}")
        client.delete_bucket(Bucket=name)


@contextlib.contextmanager
def slowed(endpoint: str, latency_ms: float) -> Iterator[str]:
    command = [sys.executable, "-m", "tests.tools.faults_proxy", endpoint, str(latency_ms)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as proxy:
        assert proxy.stdout is not None
        try:
            yield proxy.stdout.readline().strip()
        finally:
            proxy.terminate()


def compare(near: dict[str, Epoch], far: dict[str, Epoch]) -> dict[str, float]:
    files = near["files"]
    return {
        "files: CPU us an image": files.cpu_us,
        "first epoch: CPU, over files": near["first"].cpu_us / files.cpu_us,
        "second epoch: CPU, over files": near["second"].cpu_us / files.cpu_us,
        "first epoch: images/s, over files": near["first"].images_per_s / files.images_per_s,
        "second epoch: images/s, over files": near["second"].images_per_s / files.images_per_s,
        "first epoch with latency: images/s, over without": far["first"].images_per_s / near["first"].images_per_s,
        "second epoch with latency: images/s, over without": far["second"].images_per_s / near["second"].images_per_s,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--latency-ms", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    endpoint = os.environ["SHARDPACK_S3"]
    rows: dict[str, list[float]] = {}
    with (
        uploaded(options.dataset, endpoint) as bucket,
        slowed(endpoint, 0.0) as near,
        slowed(endpoint, options.latency_ms) as far,
    ):
        ways = {"near": StoreOptions(endpoint_url=near), "far": StoreOptions(endpoint_url=far)}
        for number in range(options.rounds + 1):
            order = list(ways) if number % 2 else list(reversed(ways))
            found = {name: run_round(str(options.dataset), bucket, ways[name], options.threads) for name in order}
            for name, value in compare(found["near"], found["far"]).items() if number else ():  # first: libraries load
                rows.setdefault(name, []).append(value)
    print(json.dumps({name: round(statistics.median(values), 3) for name, values in rows.items()}, indent=2))


if __name__ == "__main__":
    main()
