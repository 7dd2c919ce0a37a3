"""A run's files last: receipts go after the manifest, bad sectors are found, and tidying up fails nothing."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from packer.errors import StoreAccessError
from packer.pipeline import commit_parts, pack
from packer.progress import SilentProgress
from packer.stores.local_store import LocalStore
from packer.verifying import verify
from tests.tools.datasets import SerialEngine, digests, make_options, pack_small


class Notes(SilentProgress):
    """Keeps what a run has to say."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


@pytest.fixture(scope="module")
def parts(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All shards of a plan with their receipts, before the commit."""
    dest = tmp_path_factory.mktemp("parts") / "out"
    pack_small(images, dest, part="0/1")
    return dest


@contextmanager
def bad_sector(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let reads of a file fail as a disk does that cannot read a sector of it any more."""
    held = path.open("rb")  # or else a new file might get its number
    inode, real_read = path.stat().st_ino, os.read

    def read(descriptor: int, num_bytes: int) -> bytes:
        if os.fstat(descriptor).st_ino == inode:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real_read(descriptor, num_bytes)

    with monkeypatch.context() as patch, held:
        patch.setattr(os, "read", read)
        yield


pytestmark = pytest.mark.slow
KINDS = ("train/{}.tfrecord", "meta/index/train/{}.idx", "meta/records/train/{}.parquet")


@pytest.mark.parametrize("name", [*KINDS, "meta/receipts/*/{}.json"])
def test_a_shard_on_a_bad_sector_is_packed_again(
    images: Path, parts: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dest = tmp_path / "out"
    shutil.copytree(parts, dest)
    with bad_sector(next(dest.glob(name.format("train-00002-of-00004"))), monkeypatch):
        assert pack_small(images, dest, resume=True).num_reused == 3
    assert verify(str(dest), SerialEngine(), SilentProgress()).faults == ()


@pytest.mark.parametrize("name", KINDS)
def test_verify_names_the_shard_on_a_bad_sector(
    images: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack_small(images, tmp_path / "out")
    path = tmp_path / "out" / name.format("train-00002-of-00004")
    with bad_sector(path, monkeypatch):
        faults = verify(str(tmp_path / "out"), SerialEngine(), SilentProgress()).faults
    own = [fault for fault in faults if fault.startswith("train/train-00002-of-00004.tfrecord: ")]
    assert own
    assert "cannot be read: Input/output error" in own[0]


def test_receipts_go_after_the_manifest(parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dest = tmp_path / "out"
    shutil.copytree(parts, dest)
    seen = []
    delete_all = LocalStore.delete_all

    def watch(store: LocalStore, keys) -> None:
        seen.append((dest / "manifest.json").exists())
        delete_all(store, keys)

    monkeypatch.setattr(LocalStore, "delete_all", watch)
    commit_parts(str(dest))
    assert seen == [True]
    assert not list(dest.glob("meta/receipts"))


@pytest.mark.parametrize(
    "problem",
    [
        PermissionError(errno.EACCES, "Permission denied", "/x/meta/receipts"),
        StoreAccessError("s3://b/k: may not delete it (AccessDenied); grant it"),
    ],
    ids=["a folder", "a bucket"],
)
def test_what_cannot_be_tidied_up_is_noted(
    images: Path, tmp_path: Path, problem: OSError, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a role that may not delete: the data set is whole."""

    def refuse(store: LocalStore, keys) -> None:
        raise problem

    monkeypatch.setattr(LocalStore, "delete_all", refuse)
    notes = Notes()
    result = pack(make_options(images, tmp_path / "out"), engine=SerialEngine(), progress=notes)
    assert result.manifest is not None
    assert len(notes.texts) == 1
    assert "the data set is whole, but meta/receipts/ was not removed: " in notes.texts[0]
    assert verify(str(tmp_path / "out"), SerialEngine(), SilentProgress()).faults == ()
    monkeypatch.undo()
    commit_parts(str(tmp_path / "out"))
    pack_small(images, tmp_path / "fresh")
    assert digests(tmp_path / "out") == digests(tmp_path / "fresh")


def test_a_plan_that_cannot_fit_the_disk_is_noted_before_it_is_packed(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = Notes()
    pack(make_options(images, tmp_path / "enough"), engine=SerialEngine(), progress=notes)
    assert notes.texts == []
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1_000))
    pack(make_options(images, tmp_path / "out"), engine=SerialEngine(), progress=notes)
    assert len(notes.texts) == 1
    assert "/out: the shards will take about 0 MB, which is 0.1 MB more than is free there" in notes.texts[0]
