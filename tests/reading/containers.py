"""Folders like a SageMaker training container's, and processes' worth of feeding their FIFOs from threads."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from packer.channels.jobfiles import JobFiles, load_job_files
from packer.dataset.manifest import ShardEntry


def write_job(
    base: Path,
    data: Path,
    channels: Mapping[str, tuple[str, str]],
    *,
    hosts: Sequence[str] = ("algo-1",),
    host: int = 0,
) -> JobFiles:
    """Describe a job under `base` with the manifest of `data` in its channel.

    Args:
        channels: mode and distribution by name, besides `meta`.
    """
    config = base / "input/config"
    config.mkdir(parents=True)
    described = {
        name: {"TrainingInputMode": mode, "S3DistributionType": distribution, "RecordWrapperType": "None"}
        for name, (mode, distribution) in {**channels, "meta": ("File", "FullyReplicated")}.items()
    }
    (config / "inputdataconfig.json").write_text(json.dumps(described))
    (config / "resourceconfig.json").write_text(json.dumps({"current_host": hosts[host], "hosts": list(hosts)}))
    (config / "hyperparameters.json").write_text("{}")
    (base / "input/data/meta").mkdir(parents=True)
    shutil.copy(data / "manifest.json", base / "input/data/meta")
    return load_job_files(str(base))


def place_shards(files: JobFiles, channel: str, data: Path, shards: Iterable[ShardEntry]) -> None:
    """Put shards into a channel's folder, below the rest of their keys as SageMaker does for a list of keys."""
    for shard in shards:
        path = Path(files.folder(channel)) / shard.key
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(data / shard.key, path)


@contextlib.contextmanager
def feeding(*epochs: tuple[str, bytes | Sequence[bytes]], ahead: bool = False) -> Iterator[list[str]]:
    """Make one FIFO after another and write into each, from a thread; the next one comes when the last is closed.

    Yields the list of FIFOs whose readers closed them early, which grows.

    Args:
        ahead: make all FIFOs at once.
    """
    closed_early: list[str] = []
    if ahead:
        for path, _ in epochs:
            os.mkfifo(path)
    thread = threading.Thread(target=_feed, args=(epochs, closed_early), daemon=True)
    thread.start()
    yield closed_early
    thread.join(timeout=30)
    assert not thread.is_alive(), "the feeder still waits for a reader"


def _feed(epochs: Sequence[tuple[str, bytes | Sequence[bytes]]], closed_early: list[str]) -> None:
    for path, content in epochs:
        with contextlib.suppress(FileExistsError):
            os.mkfifo(path)
        try:
            with open(path, "wb", buffering=0) as fifo:
                for piece in [content] if isinstance(content, bytes) else content:
                    view = memoryview(piece)
                    while view:
                        view = view[fifo.write(view) :]
        except BrokenPipeError:
            closed_early.append(path)


def shard_bytes(data: Path, shards: Iterable[ShardEntry]) -> bytes:
    """Return what SageMaker streams of shards: one after another."""
    return b"".join((data / shard.key).read_bytes() for shard in shards)
