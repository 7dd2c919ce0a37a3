"""Who packs: one `Packer` for each way to turn a folder of photographs into shards, and how to run it.

A command that needs a list of its inputs (img2dataset, im2rec) finds it made: making it is not counted.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.peers.corpora import Corpus
from tests.benchmarks.peers.environments import environment, package_path, python_of

ADAPTERS = Path(__file__).parent / "adapters"
_QUIET = ["env", "TF_CPP_MIN_LOG_LEVEL=2", "PYTHONWARNINGS=ignore"]
_THREADS = 16
"""img2dataset's downloads at a time in each process; more, or its 256, cost it more CPU time on loopback."""


class FailedError(Exception):
    """A peer's command failed; holds the line of its output that says most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    corpus: Corpus
    dest: Path
    workers: int
    shards: int
    port: int
    """Of the file server."""

    @property
    def images_per_shard(self) -> int:
        return -(-len(self.corpus.images) // self.shards)


@dataclass(frozen=True, slots=True, kw_only=True)
class Packer:
    name: str
    command: Callable[[Job], list[str]]
    output: str
    """``tfrecord``, ``recordio``, ``tar``, or the adapter that can read it back."""
    prepare: Callable[[Job], None] = lambda job: job.dest.mkdir()
    environment: str | None = None
    """None: the one that this process runs in."""
    max_workers: int = 2
    fit: bool = False
    """Also pack a part of the corpus, to tell start-up from the cost per image."""


def adapter_command(environment_name: str | None, script: str, *arguments: object) -> list[str]:
    """Return the command that runs an adapter. Raises InstallError."""
    python = python_of(environment(environment_name)) if environment_name else Path(sys.executable)
    return [*_QUIET, str(python), str(ADAPTERS / f"{script}.py"), *map(str, arguments)]


def _shardpack(job: Job) -> list[str]:
    options = ["--gpus", str(job.shards), "--allow-fill", "--flat", "--resize", "256", "--quality", "95"]
    places = [str(job.corpus.folder), str(job.dest)]
    return [sys.executable, "-m", "packer", "pack", *places, *options, "--workers", str(job.workers)]


def _img2dataset(environment_name: str, output: str) -> Callable[[Job], list[str]]:
    def command(job: Job) -> list[str]:
        options = {
            "url_list": _url_list(job),
            "input_format": "txt",
            "output_folder": job.dest / "out",
            "output_format": output,
            "image_size": 256,
            "resize_mode": "keep_ratio",
            "encode_quality": 95,
            "processes_count": job.workers,
            "thread_count": _THREADS,
            "number_sample_per_shard": job.images_per_shard,
            "extract_exif": False,
            "enable_wandb": False,
        }
        script = environment(environment_name) / "bin" / "img2dataset"
        return [*_QUIET, str(script), *(f"--{name}={value}" for name, value in options.items())]

    return command


def _url_list(job: Job) -> Path:
    return job.dest / "urls.txt"


def _list_urls(job: Job) -> None:
    job.dest.mkdir()
    urls = (f"http://127.0.0.1:{job.port}/{path.name}\n" for path in job.corpus.images)
    _url_list(job).write_text("".join(urls))


def _im2rec(job: Job) -> list[str]:
    folder = environment("mxnet")
    options = ["--resize", "256", "--quality", "95", "--num-thread", str(job.workers)]
    script = package_path(folder, "mxnet/tools/im2rec.py")
    return [*_QUIET, str(python_of(folder)), str(script), str(job.dest / "data"), str(job.corpus.folder), *options]


def _list_images(job: Job) -> None:
    """Write one list for each .rec file, as `im2rec.py --list --chunks` does, without its shuffling."""
    job.dest.mkdir()
    rows = [f"{int(path.stem)}\t0.000000\t{path.name}\n" for path in job.corpus.images]
    for shard, start in enumerate(range(0, len(rows), job.images_per_shard)):
        (job.dest / f"data_{shard}.lst").write_text("".join(rows[start : start + job.images_per_shard]))


def _adapter(environment_name: str, script: str) -> Callable[[Job], list[str]]:
    def command(job: Job) -> list[str]:
        arguments = ("pack", job.corpus.folder, job.dest, job.workers, job.shards)
        return adapter_command(environment_name, script, *arguments)

    return command


SHARDPACK = "shardpack"
IMG2DATASET = ("img2dataset, tar", "img2dataset, tfrecord")
IM2REC = "im2rec"
PACKERS = (
    Packer(name=SHARDPACK, command=_shardpack, output="tfrecord", fit=True),
    Packer(
        name=IMG2DATASET[0],
        environment="img2dataset",
        command=_img2dataset("img2dataset", "webdataset"),
        prepare=_list_urls,
        output="tar",
        fit=True,
    ),
    Packer(
        name=IMG2DATASET[1],
        environment="img2dataset-tfrecord",
        command=_img2dataset("img2dataset-tfrecord", "tfrecord"),
        prepare=_list_urls,
        output="tfrecord",
    ),
    Packer(name=IM2REC, environment="mxnet", command=_im2rec, prepare=_list_images, output="recordio"),
    Packer(name="MDSWriter", environment="torch", command=_adapter("torch", "with_mds"), output="with_mds"),
    Packer(name="webdataset", environment="torch", command=_adapter("torch", "with_webdataset"), output="tar"),
    Packer(name="litdata", environment="torch", command=_adapter("torch", "with_litdata"), output="with_litdata"),
    Packer(
        name="TFDS",
        environment="tensorflow",
        command=_adapter("tensorflow", "with_tfds"),
        output="tfrecord",
        max_workers=1,
    ),
)
