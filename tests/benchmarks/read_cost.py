"""Records from files and into files: CPU time against TensorFlow and MXNet, where they are installed.

    python -m tests.benchmarks.read_cost [--records N] [--rounds N] [--json FILE]

All read the same files from the page cache, and write the same payloads, in turns in one process, whose CPU time
(all threads) is counted. Payloads are tf.train.Examples around 44 KB of noise, the size of a packed photograph.
"""

from __future__ import annotations

import argparse
import importlib
import os
import random
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from packer.formats.container import Sample
from packer.formats.framed_container import FramedContainer
from packer.formats.recordio import CONTAINER as RECORDIO
from packer.formats.tfrecord import CONTAINER as TFRECORD
from packer.stores.local_store import LocalStore
from tests.benchmarks.measure import cpu_seconds, create_parser, in_turns, median, report

_IMAGE_BYTES = 44_000

Calls = dict[str, Callable[[], Any]]


def main() -> None:
    parser = create_parser("reading and writing records")
    parser.add_argument("--records", type=int, default=2000, metavar="N")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        readers, writers, num_bytes = _prepare(given, Path(folder))
        reading = _costs(readers, given.rounds)
        writing = _costs(writers, given.rounds)
    figures = {
        "read_us_per_record": {name: 1e6 * cost / given.records for name, cost in reading.items()},
        "write_mb_per_cpu_s": {name: num_bytes / 1e6 / cost for name, cost in writing.items()},
        "num_records": given.records,
        "num_bytes": num_bytes,
    }
    report("read_cost", _rows(figures), figures, given.json)


def _costs(calls: Calls, rounds: int) -> dict[str, float]:
    timed = {name: partial(cpu_seconds, call) for name, call in calls.items()}
    in_turns(timed, 1)  # warms caches and pools; not counted
    return {name: median(costs) for name, costs in in_turns(timed, rounds).items()}


def _rows(figures: dict[str, Any]) -> list[tuple[str, str, str]]:
    rows = []
    for kind, unit, times in (("read_us_per_record", "us", False), ("write_mb_per_cpu_s", "MB/s", True)):
        costs = figures[kind]
        for name, cost in costs.items():
            own = costs[_own_name(name)]
            ratio = "" if name.startswith("shardpack") else f"shardpack {own / cost if times else cost / own:.1f}x"
            rows.append((name, f"{cost:,.1f} {unit}", ratio))
    return rows


def _own_name(name: str) -> str:
    """Return the name of our own measurement that another's is compared with."""
    verb = name.rpartition(", ")[2]
    return f"shardpack {'RecordIO' if name.startswith('mxnet') else 'TFRecord'}, {verb}"


def _prepare(given: argparse.Namespace, folder: Path) -> tuple[Calls, Calls, int]:
    """Write the files to be read; return what reads and what writes, and the bytes written."""
    noise = random.Random(0)
    samples = [
        Sample(key=f"n{i}.jpg", encoded=noise.randbytes(_IMAGE_BYTES), image_format="jpeg", label=i % 1000)
        for i in range(given.records)
    ]
    store = LocalStore(folder)
    payloads = [TFRECORD.encode_sample(sample, position=index) for index, sample in enumerate(samples)]
    readers: Calls = {}
    writers: Calls = {}
    for container, title in ((TFRECORD, "TFRecord"), (RECORDIO, "RecordIO")):
        name = "records" + container.suffix
        _write(store, container, payloads, name)
        readers[f"shardpack {title}, reading"] = partial(_read, store, container, name, check=True)
        writers[f"shardpack {title}, writing"] = partial(_write, store, container, payloads, "out" + container.suffix)
    readers["shardpack TFRecord without checksums, reading"] = partial(
        _read, store, TFRECORD, "records.tfrecord", check=False
    )
    readers["shardpack TFRecord, parsing"] = partial(_parse, store, "records.tfrecord")
    _add_tensorflow(readers, writers, payloads, folder)
    _add_mxnet(readers, writers, payloads, folder)
    return readers, writers, sum(map(len, payloads))


def _read(store: LocalStore, container: FramedContainer, name: str, *, check: bool) -> None:
    with store.open(name) as stream:
        for _ in container.iter_stream(stream, name=name, check=check):
            pass


def _parse(store: LocalStore, name: str) -> None:
    with store.open(name) as stream:
        for record in TFRECORD.iter_stream(stream, name=name):
            TFRECORD.decode_sample(record.payload)


def _write(store: LocalStore, container: FramedContainer, payloads: Sequence[bytes], name: str) -> None:
    store.put(name, [buffer for payload in payloads for buffer in container.frame(payload)])


def _add_tensorflow(readers: Calls, writers: Calls, payloads: Sequence[bytes], folder: Path) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        tf: Any = importlib.import_module("tensorflow")
    except ImportError:
        return
    path = str(folder / "records.tfrecord")
    features = {"image/encoded": tf.io.FixedLenFeature([], tf.string)}
    features["image/class/label"] = tf.io.FixedLenFeature([], tf.int64)

    def read() -> None:
        for _ in tf.data.TFRecordDataset(path).as_numpy_iterator():
            pass

    def parse() -> None:
        dataset = tf.data.TFRecordDataset(path).batch(32).map(lambda batch: tf.io.parse_example(batch, features))
        for _ in dataset:
            pass

    def write() -> None:
        with tf.io.TFRecordWriter(str(folder / "tf.tfrecord")) as writer:
            for payload in payloads:
                writer.write(payload)

    readers |= {"tf.data.TFRecordDataset, reading": read, "tf.data with parse_example, parsing": parse}
    writers["tf.io.TFRecordWriter, writing"] = write


def _add_mxnet(readers: Calls, writers: Calls, payloads: Sequence[bytes], folder: Path) -> None:
    try:
        recordio: Any = importlib.import_module("mxnet.recordio")
    except ImportError:
        return

    def read() -> None:
        reader = recordio.MXRecordIO(str(folder / "records.rec"), "r")
        while reader.read() is not None:
            pass
        reader.close()

    def write() -> None:
        writer = recordio.MXRecordIO(str(folder / "mx.rec"), "w")
        for payload in payloads:
            writer.write(payload)
        writer.close()

    readers["mxnet.recordio.MXRecordIO, reading"] = read
    writers["mxnet.recordio.MXRecordIO, writing"] = write


if __name__ == "__main__":
    main()
