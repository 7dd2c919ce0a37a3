"""What a bucket costs: CPU per image from S3 against a disk and against s3fs, latency, and a large listing.

    SHARDPACK_S3=http://127.0.0.1:7480 python -m tests.benchmarks.bench_s3 [FOLDER] [--rounds N] [--json FILE]

Image work is done in this process, which starts itself anew with the environment of a worker. Ratios are medians of the
ratios within a round. Keys and region come from the AWS variables. Everything is written into a bucket of its own, and
that is removed again. The server's own CPU time is not counted; on one machine with it, its load shows in images/s.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import boto3
from PIL import Image

from packer.engines.local_engine import WORKER_ENVIRONMENT
from packer.options import parse_options
from packer.packing.fetch import fetch_ahead
from packer.packing.sample import ItemRow, build_sample
from packer.specs import FormatName, StoreOptions
from packer.stores.fsspec_store import RemoteStore
from packer.stores.local_store import LocalStore
from packer.stores.s3 import S3Store
from packer.stores.store import Store
from tests.benchmarks.measure import (
    add_photographs,
    cpu_seconds,
    create_parser,
    in_turns,
    link_photographs,
    list_photographs,
    median,
    report,
    run_process,
    spread,
)

_LATENCY_MS = 20


def main() -> None:
    parser = create_parser("cost of buckets")
    add_photographs(parser)
    parser.add_argument("--images", type=int, default=1000, metavar="N", help="photographs")
    parser.add_argument("--objects", type=int, default=100_000, metavar="N", help="objects of the large listing")
    given = parser.parse_args()
    if not os.environ.items() >= WORKER_ENVIRONMENT.items():
        command = [sys.executable, "-m", "tests.benchmarks.bench_s3", *sys.argv[1:]]
        os.execve(sys.executable, command, os.environ | WORKER_ENVIRONMENT)
    endpoint = os.environ.get("SHARDPACK_S3") or sys.exit("SHARDPACK_S3: expected the address of an S3 server")
    os.environ["AWS_ENDPOINT_URL"] = endpoint
    paths = list_photographs(given.photographs)[: given.images]
    with _bucket() as bucket, tempfile.TemporaryDirectory() as scratch:
        _upload(f"s3://{bucket}/photos", {f"{n:06d}.jpg": path.read_bytes() for n, path in enumerate(paths)})
        local = link_photographs(paths, Path(scratch) / "photos")
        figures: dict[str, Any] = dict(_work(bucket, local, endpoint, given.rounds))
        figures |= _packing(bucket, local, Path(scratch), given.rounds)
        figures |= _listing(bucket, given.objects)
    report("bench_s3", _rows(figures), figures, given.json)


@contextmanager
def _bucket() -> Iterator[str]:
    client = boto3.Session().client("s3")
    name = f"bench-{uuid.uuid4().hex[:12]}"
    client.create_bucket(Bucket=name)
    try:
        yield name
    finally:
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=name):
            keys = [{"Key": found["Key"]} for found in page.get("Contents", ())]
            client.delete_objects(Bucket=name, Delete={"Objects": keys, "Quiet": True})
        client.delete_bucket(Bucket=name)


def _upload(uri: str, contents: dict[str, bytes]) -> None:
    store = S3Store(uri, StoreOptions())
    with ThreadPoolExecutor(32) as threads:
        list(threads.map(lambda pair: store.put(pair[0], [pair[1]]), contents.items()))


def _work(bucket: str, local: Path, endpoint: str, rounds: int) -> dict[str, Any]:
    """Read, decode, resize and encode every photograph in this process, from each kind of store and through a proxy."""
    uri = f"s3://{bucket}/photos"
    stores: dict[str, Store] = {
        "disk": LocalStore(local), "s3": S3Store(uri, StoreOptions()), "s3fs": RemoteStore(uri)
    }  # fmt: skip
    items = [
        ItemRow(key=info.key, num_bytes=info.num_bytes, label=None, class_text="", member=None, extras={})
        for info in stores["disk"].list()
    ]
    calls: dict[str, Callable[[], float]] = {
        f"work_{name}_cpu_ms": lambda store=store: 1000 * cpu_seconds(lambda: _pass(store, items)) / len(items)
        for name, store in stores.items()
    }
    with ExitStack() as proxies:
        for latency_ms in (0, _LATENCY_MS):
            address = proxies.enter_context(_proxy(endpoint, latency_ms))
            through = S3Store(uri, StoreOptions(endpoint_url=address))
            calls[f"images_per_s_{latency_ms}ms"] = lambda store=through: _rate(store, items)
        in_turns(calls, 1)
        return in_turns(calls, rounds)


def _pass(store: Store, items: Sequence[ItemRow]) -> None:
    spec = parse_options({"source": "-", "dest": "-"}).image_spec()
    for item, data in zip(items, fetch_ahead(store, items), strict=True):
        assert isinstance(data, bytes)
        build_sample(item, data, spec)


def _rate(store: Store, items: Sequence[ItemRow]) -> float:
    started = time.monotonic()
    _pass(store, items)
    return len(items) / (time.monotonic() - started)


@contextmanager
def _proxy(endpoint: str, latency_ms: int) -> Iterator[str]:
    """Give the address of a proxy, a process of its own, that holds each request back."""
    command = [sys.executable, "-m", "tests.tools.faults_proxy", endpoint, str(latency_ms)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as proxy:
        try:
            yield proxy.stdout.readline().strip()
        finally:
            proxy.kill()


def _packing(bucket: str, local: Path, scratch: Path, rounds: int) -> dict[str, Any]:
    """Pack as a process, from disk to disk and from bucket to bucket; start-up, listing and measuring included."""
    calls = {
        "disk": lambda: run_process(_pack(local, scratch / "packed")).cpu_s,
        "s3": lambda: run_process(_pack(f"s3://{bucket}/photos", f"s3://{bucket}/packed")).cpu_s,
    }
    in_turns(calls, 1)
    return {f"pack_{name}_cpu_s": values for name, values in in_turns(calls, rounds).items()}


def _listing(bucket: str, num_objects: int) -> dict[str, Any]:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((32, 32)).convert("RGB").save(buffer, "JPEG")
    image = buffer.getvalue()
    _upload(f"s3://{bucket}/many", {f"class{n % 100:03d}/{n:07d}.jpg": image for n in range(num_objects)})
    # A process says itself how large it was: what its parent sees of it starts with the parent's own size.
    code = (
        "import pathlib, sys; from packer.cli.main import run; assert run(sys.argv[1:]) == 0; "
        "print(pathlib.Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
    )
    given = ["plan", f"s3://{bucket}/many", "--gpus", "8", "--workers", "1", "--json"]
    cost = run_process([sys.executable, "-c", code, *given])
    return {
        "num_objects": num_objects,
        "plan_cpu_s": cost.cpu_s,
        "plan_wall_s": cost.wall_s,
        "plan_peak_mb": int(cost.stdout.split()[-1]) * 1024 / 1e6,
    }


def _pack(source: object, dest: object) -> list[str]:
    given = ["--gpus", "1", "--flat", "--overwrite", "--workers", "1", "--format", FormatName.TFRECORD]
    return [sys.executable, "-m", "packer", "pack", str(source), str(dest), *given]


def _rows(figures: dict[str, Any]) -> list[tuple[str, str, str]]:
    work = {name: median(figures[f"work_{name}_cpu_ms"]) for name in ("disk", "s3", "s3fs")}
    pack = {name: median(figures[f"pack_{name}_cpu_s"]) for name in ("disk", "s3")}

    def ratio(over: str, under: str) -> str:
        return f"ratio {median([a / b for a, b in zip(figures[over], figures[under], strict=True)]):.2f}"

    rates = {name: median(figures[f"images_per_s_{name}ms"]) for name in ("0", str(_LATENCY_MS))}
    return [
        ("image work from disk, CPU", f"{work['disk']:.2f} ms", spread(figures["work_disk_cpu_ms"])),
        ("image work from S3, CPU", f"{work['s3']:.2f} ms", ratio("work_s3_cpu_ms", "work_disk_cpu_ms")),
        (
            "image work over s3fs, CPU",
            f"{work['s3fs']:.2f} ms",
            f"{ratio('work_s3fs_cpu_ms', 'work_disk_cpu_ms')}, {ratio('work_s3fs_cpu_ms', 'work_s3_cpu_ms')[6:]} of S3",
        ),
        ("pack, disk to disk, CPU", f"{pack['disk']:.2f} s", spread(figures["pack_disk_cpu_s"])),
        ("pack, bucket to bucket, CPU", f"{pack['s3']:.2f} s", ratio("pack_s3_cpu_s", "pack_disk_cpu_s")),
        ("images/s through the proxy", f"{rates['0']:.0f}", spread(figures["images_per_s_0ms"])),
        (
            f"images/s with {_LATENCY_MS} ms a request",
            f"{rates[str(_LATENCY_MS)]:.0f}",
            ratio(f"images_per_s_{_LATENCY_MS}ms", "images_per_s_0ms"),
        ),
        (
            f"{figures['num_objects']:,} objects listed, planned",
            f"{figures['plan_peak_mb']:.0f} MB",
            f"{figures['plan_cpu_s']:.1f} s of CPU, {figures['plan_wall_s']:.1f} s; 512 of them measured",
        ),
    ]


if __name__ == "__main__":
    main()
