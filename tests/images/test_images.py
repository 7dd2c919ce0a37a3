"""Images as users build and run them, with buildah: `make test-images`, which needs root, buildah and debootstrap.

Where no registry of images is reached, a stand-in for Docker Hub's Python is made of Debian's packages and an
interpreter of this machine. Building PyTorch's image compiles Horovod, which takes five minutes and more.

    SHARDPACK_IMAGE_MOUNTS    files and folders that builds see where they are, or as OURS:THEIRS:ro, by comma:
                              certificates, a pip.conf that names PyTorch for CPUs, wheels of Horovod at /tmp/wheels
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import packer
from tests.trainer.rank_jobs import learnable

pytestmark = [pytest.mark.images, pytest.mark.slow]

ROOT = Path(__file__).parent.parent.parent
VERSION = "3.11"
MOUNTS = [word for path in os.environ.get("SHARDPACK_IMAGE_MOUNTS", "").split(",") if path for word in ("-v", path)]
LARGEST_TORCH = 1_700_000_000
LIMIT_S = 3600


@pytest.fixture(scope="module", autouse=True)
def base() -> str:
    """The image that all are built from."""
    missing = [name for name in ("buildah", "debootstrap") if not shutil.which(name)]
    if missing or os.getuid():
        pytest.skip(f"images are built by root with buildah and debootstrap; missing: {', '.join(missing) or 'root'}")
    name = f"localhost/python:{VERSION}-slim-bookworm"
    if subprocess.run(["buildah", "inspect", name], capture_output=True, check=False).returncode:
        run(str(ROOT / "tests/tools/stand_in_image.sh"), VERSION, sys.executable)
    return name


def run(*words: object) -> str:
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=LIMIT_S, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def build(file: str, tag: str, *arguments: str) -> str:
    mounts = [path if ":" in path or path == "-v" else f"{path}:{path}:ro" for path in MOUNTS]
    run(
        *("buildah", "bud", "--layers", "--isolation", "chroot", "--uts", "host", "--pull-never", *mounts, *arguments),
        *("-f", ROOT / "docker" / file, "-t", tag, ROOT),
    )
    return tag


class Container:
    """One of an image, in which commands are run."""

    def __init__(self, image: str) -> None:
        self.name = run("buildah", "from", "--pull-never", "--uts", "host", image).strip()

    def run(self, *words: object, volumes: tuple[str, ...] = (), user: str = "0:0") -> str:
        mounts = [word for volume in volumes for word in ("-v", volume)]
        return run("buildah", "run", "--isolation", "chroot", "--user", user, *mounts, self.name, "--", *words)


@pytest.fixture(scope="module")
def packing() -> Iterator[Container]:
    container = Container(build("pack.Dockerfile", "shardpack"))
    yield container
    run("buildah", "rm", container.name)


@pytest.fixture(scope="module")
def training() -> Iterator[Container]:
    container = Container(build("train.Dockerfile", "shardpack-train", "--build-arg", f"PYTHON={VERSION}"))
    yield container
    run("buildah", "rm", container.name)


def test_the_image_packs_what_this_machine_packs(packing: Container, photo_folder: Path, tmp_path: Path) -> None:
    photo_folder.chmod(0o755)
    tmp_path.chmod(0o777)
    words = ("shardpack", "pack", "/in", "/out/set", "--gpus", 2, "--split", "train=0.9,val=0.1")
    packing.run(*words, volumes=(f"{photo_folder}:/in:ro", f"{tmp_path}:/out"), user="1000:1000")
    packer.pack(source=str(photo_folder), dest=str(tmp_path / "own"), gpus=2, split={"train": 0.9, "val": 0.1})
    for path in sorted((tmp_path / "own").glob("*/*.tfrecord")):
        theirs = tmp_path / "set" / path.relative_to(tmp_path / "own")
        assert theirs.read_bytes() == path.read_bytes(), path.name
        assert theirs.stat().st_uid == 1000


def test_the_training_image_is_small_and_has_no_compiler(training: Container) -> None:
    root = run("buildah", "mount", training.name).strip()
    try:
        size = int(run("du", "-sxB1", root).split()[0])
    finally:
        run("buildah", "umount", training.name)
    assert size < LARGEST_TORCH
    assert "none" in training.run("sh", "-c", "command -v g++ gcc cc make cmake || echo none")


@pytest.mark.parametrize(
    "launcher",
    [
        ("torchrun", "--nproc-per-node", 2),
        ("horovodrun", "-np", 2, "--gloo", "python"),
        ("mpirun", "-np", 2, "--oversubscribe", "--allow-run-as-root", "--bind-to", "none", "python"),
    ],
    ids=lambda words: str(words[0]),
)
def test_the_training_image_trains(training: Container, launcher: tuple[object, ...], tmp_path: Path) -> None:
    learnable(tmp_path, num_records=96)
    words = (*launcher, "-m", "packer.trainer", "--data", "/in", "--epochs", 2, "--image-size", 16, "--batch-size", 4)
    said = training.run(*words, "--eval-split", "val", volumes=(f"{tmp_path}:/in:ro",))
    for rank in (0, 1):
        assert f"rank {rank}/2 epoch 2/2 steps 12 loss" in said
