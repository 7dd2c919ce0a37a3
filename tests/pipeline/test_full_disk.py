"""A disk that is full, read-only or without a file to spare: one line that names the file, and then a run goes on."""

import errno
import itertools
import os
import resource
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from packer.stores import local_store
from tests.tools.datasets import command, digests, pack_small, write_images
from tests.tools.loop_disk import why_not

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def few_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("few"), 8)


def fail_at(patch: pytest.MonkeyPatch, name: str, call_number: int, code: int) -> None:
    """Let one call of a function that writes fail, the others do what they do."""
    numbers, real = itertools.count(1), getattr(local_store, name)

    def call(*arguments: Any) -> Any:
        if next(numbers) == call_number:
            raise OSError(code, os.strerror(code))
        return real(*arguments)

    patch.setattr(local_store, name, call)


def test_space_that_ends_in_any_file(few_images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the plan's files, its claim, a shard, what lies beside it, a receipt, a document, the manifest."""
    options = {"gpus": 2, "format": "recordio", "resize": "8"}
    pack_small(few_images, tmp_path / "alone", **options)
    named = []
    for call_number in itertools.count(1):
        dest = tmp_path / str(call_number)
        with monkeypatch.context() as patch:
            fail_at(patch, "write_all", call_number, errno.ENOSPC)
            try:
                pack_small(few_images, dest, **options)
            except OSError as error:
                assert error.errno == errno.ENOSPC
                named.append(os.path.relpath(error.filename, dest))
            else:
                break
        pack_small(few_images, dest, **options, resume=True)
        assert digests(dest) == digests(tmp_path / "alone"), named[-1]
    parts = ("meta/plan/", "meta/plan.json", "train/", "meta/index/train/", "meta/records/", "meta/receipts/")
    for part in (*parts, "meta/labels.json", "meta/rejects.jsonl", "meta/run.json", "manifest.json"):
        assert any(name.startswith(part) for name in named), part


def run(*arguments: object, limit: Callable[[], None] | None = None) -> tuple[int, str]:
    done = subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=120, check=False, preexec_fn=limit
    )
    return done.returncode, done.stderr


@pytest.mark.may_skip
def test_a_small_disk(few_images: Path, tmp_path: Path) -> None:
    """It is told before it packs, fails in a shard, and goes on once there is room."""
    if reason := why_not():
        pytest.skip(reason)
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "none", disk], check=True)
    try:
        given = (
            "pack",
            few_images,
            disk / "out",
            "--gpus",
            1,
            "--resize",
            "256x256",
            "--encode",
            "png",
            "--workers",
            1,
        )
        code, errors = run(*given)
        note, line = errors.splitlines()
        assert "more than is free there; make room while it packs" in note
        assert code == 1
        assert line.startswith(f"shardpack: task 0: {disk}/out/train/train-00000-of-00001.tfrecord: No space left on ")
        assert line.endswith("; mend that, then go on with --resume")
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        code, errors = run(*given, "--resume")
        assert code == 1
        line = errors.splitlines()[-1]
        assert line.startswith(f"shardpack: task 0: {disk}/out/.shardpack-tmp/")
        assert "Read-only file system; mend that" in line
        subprocess.run(["mount", "-o", "remount,rw,size=16m", disk], check=True)
        assert run(*given, "--resume")[0] == 0
        assert run("verify", disk / "out")[0] == 0
    finally:
        subprocess.run(["umount", disk], check=True)


def test_too_many_open_files(few_images: Path, tmp_path: Path) -> None:
    num_failures = 0
    for number in (5, 6, 40):  # with fewer, Python itself does not start in some environments
        limit = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (number, number))  # noqa: B023, E731
        code, errors = run("pack", few_images, tmp_path / "out", "--gpus", 1, "--workers", 1, "--resume", limit=limit)
        if code == 0:
            break
        assert code == 1, (number, errors)
        assert errors.count("\n") == 1, errors
        assert "Too many open files; raise the limit with ulimit -n" in errors
        num_failures += 1
    assert (code, num_failures) == (0, 2)
