"""A small ext4 disk in a file, whose power can be cut: what is on the disk at a moment is copied, and mounted again."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_NUM_BYTES = 48 << 20
_MAX_COPIES = 400


@functools.cache
def why_not() -> str:
    """Return why no disk can be mounted here; empty where one can."""
    if os.geteuid() != 0:
        return "only root may mount a disk"
    missing = [name for name in ("mkfs.ext4", "mount", "umount") if shutil.which(name) is None]
    if missing:
        return f"there is no {missing[0]}"
    with tempfile.TemporaryDirectory() as folder:
        try:
            with mounted(make_disk(Path(folder) / "disk"), Path(folder) / "mnt"):
                return ""
        except (OSError, subprocess.CalledProcessError):
            return "a file cannot be mounted as a disk here"


def make_disk(path: Path) -> Path:
    """Make an empty disk. Raises CalledProcessError."""
    with path.open("wb") as file:
        file.truncate(_NUM_BYTES)
    run("mkfs.ext4", "-q", "-F", "-J", "size=4", path)
    return path


@contextmanager
def mounted(disk: Path, folder: Path) -> Iterator[Path]:
    """Mount a disk at a folder, which replays its journal; with the journal's usual five seconds between commits."""
    folder.mkdir(exist_ok=True)
    run("mount", "-o", "loop", disk, folder)
    try:
        yield folder
    finally:
        for _ in range(100):
            with suppress(subprocess.CalledProcessError):
                run("umount", folder)
                break
            time.sleep(0.05)


def cut_power(disk: Path, copy: Path) -> Path:
    """Copy what is on a mounted disk at one moment, without what the system still has in memory for it.

    A second copy that is the same shows that nothing was written while the first one was made.
    """
    before = disk.read_bytes()
    for _ in range(_MAX_COPIES):
        after = disk.read_bytes()
        if after == before:
            copy.write_bytes(after)
            return copy
        before = after
        time.sleep(0.01)
    raise AssertionError("the disk was written all the time")


def run(*command: object) -> None:
    subprocess.run([str(part) for part in command], check=True, capture_output=True)
