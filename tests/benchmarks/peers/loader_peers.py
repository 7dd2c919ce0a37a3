"""Who loads: the loaders that `packer.Loader` is held against, each over the same JPEGs in the form that it reads."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from packer.reading.dataset import open_dataset
from packer.reading.records import ReadSpec, iter_samples
from tests.benchmarks.peers.environments import BUILD, ROOT, InstallError, environment, python_of

_HERE = Path(__file__).parent
_ADAPTERS = _HERE / "loader_adapters"
_CONTESTANT = _HERE.parent / "loader_contestant.py"
_BEFORE = "c694ba9"
"""The last commit whose loader is in PyTorch's DataLoader."""
_LIMIT_S = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A way to load batches, as a process that runs an epoch for each line that it is sent."""

    name: str
    command: list[str]
    checkout: Path = ROOT
    """Whose packer it imports."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoaderPeer:
    name: str
    environment: str
    arguments: Callable[[LoaderData], list[str]]
    """The script among the adapters, and what it is given. Raises InstallError where its data cannot be made."""

    def way(self, data: LoaderData) -> Way:
        """Return how it is started, with its environment and data made. Raises InstallError."""
        python = python_of(environment(self.environment))
        script, *given = self.arguments(data)
        return Way(name=self.name, command=[str(python), str(_ADAPTERS / f"{script}.py"), *given])


class LoaderData:
    """The samples of a packed data set in other forms, made when they are first asked for and kept."""

    def __init__(self, dataset: Path) -> None:
        self.dataset = dataset
        self._source = open_dataset(str(dataset))
        self._folder = BUILD / "loading" / self._source.manifest.digest[:16]

    def resharded(self, container: str, num_shards: int) -> Path:
        return self._make(container, lambda dest: self._reshard(container, num_shards, dest))

    def files(self) -> Path:
        """Return a folder for each class, of JPEG files."""
        return self._make("files", self._write_files)

    def converted(self, way: str) -> Path:
        """Return what `convert.py` makes of the files."""
        python = python_of(environment("torch"))
        command = [str(python), str(_ADAPTERS / "convert.py"), way, str(self.files())]
        return self._make(way, lambda dest: _run([*command, str(dest)]))

    def _make(self, name: str, make: Callable[[Path], None]) -> Path:
        dest, part = self._folder / name, self._folder / f"{name}.part"
        if not dest.exists():
            shutil.rmtree(part, ignore_errors=True)
            part.parent.mkdir(parents=True, exist_ok=True)
            make(part)
            part.rename(dest)
        return dest

    def _reshard(self, container: str, num_shards: int, dest: Path) -> None:
        options = ["--format", container, "--gpus", str(num_shards)]
        _run([sys.executable, "-m", "packer", "reshard", str(self.dataset), str(dest), *options])

    def _write_files(self, dest: Path) -> None:
        samples = iter_samples(self._source, "train", ReadSpec(shuffle_records=0))
        for number, sample in enumerate(samples):
            folder = dest / f"{sample.label:04}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{number:06}.jpg").write_bytes(sample.encoded)


def _with_torch(name: str, way: str, find: Callable[[LoaderData], Path]) -> LoaderPeer:
    return LoaderPeer(name=name, environment="torch", arguments=lambda data: ["load_torch", way, str(find(data))])


LOADER_PEERS = (
    LoaderPeer(name="DALI", environment="dali", arguments=lambda data: ["load_dali", str(data.dataset)]),
    LoaderPeer(name="tf.data", environment="tensorflow", arguments=lambda data: ["load_tensorflow", str(data.dataset)]),
    LoaderPeer(
        name="tf.data antialias",
        environment="tensorflow",
        arguments=lambda data: ["load_tensorflow", str(data.dataset), "antialias"],
    ),
    LoaderPeer(
        name="ImageRecordIter",
        environment="mxnet",
        arguments=lambda data: ["load_mxnet", str(data.resharded("recordio", 1))],
    ),
    _with_torch("webdataset", "webdataset", lambda data: data.resharded("webdataset", 8)),
    _with_torch("litdata", "litdata", lambda data: data.converted("litdata")),
    _with_torch("streaming", "streaming", lambda data: data.converted("streaming")),
    LoaderPeer(name="SPDL", environment="spdl", arguments=lambda data: ["load_spdl", str(data.files())]),
    _with_torch("ImageFolder", "imagefolder", lambda data: data.files()),
)


def own_way(name: str, dataset: Path, checkout: Path = ROOT) -> Way:
    """Return a way of `loader_contestant`, in this environment."""
    return Way(name=name, command=[sys.executable, str(_CONTESTANT), name, str(dataset)], checkout=checkout)


def way_before(name: str, dataset: Path) -> Way:
    """Return a way of `loader_contestant` over the loader of 0.1.0. Raises InstallError."""
    python = python_of(environment("before"))
    return Way(name=name, command=[str(python), str(_CONTESTANT), name, str(dataset)], checkout=_checkout_before())


def checkout_without_compiled_part() -> Path:
    """Return a folder with a copy of this packer that has not the compiled part."""
    folder = BUILD / "loading" / "whole"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "packer", folder / "packer", ignore=shutil.ignore_patterns("*.so", "__pycache__", "docs"))
    return folder


def _checkout_before() -> Path:
    folder = BUILD / "loading" / _BEFORE
    if not folder.exists():
        found = subprocess.run(["git", "-C", str(ROOT), "archive", _BEFORE, "packer"], capture_output=True, check=False)
        if found.returncode:
            raise InstallError(f"the repository has no commit {_BEFORE} here")
        part = folder.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        subprocess.run(["tar", "-x", "-C", str(part)], input=found.stdout, check=True)
        part.rename(folder)
    return folder


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_LIMIT_S)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise InstallError(lines[-1] if lines else f"{command[1]} ended with {done.returncode}")
