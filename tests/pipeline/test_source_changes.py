"""The source changes after it was listed: what is told, and what becomes of the data set."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from packer.errors import PackerError, SourceChangedError, SourceError
from packer.packing.shard import pack_shard
from packer.pipeline import pack
from packer.stores.local_store import LocalStore
from tests.tools.datasets import SerialEngine, digests, make_options, pack_small, run_command, write_images


class MeddlingEngine(SerialEngine):
    """Does something after the plan was made and before the first shard is packed."""

    def __init__(self, meddle: Callable[[], object]) -> None:
        super().__init__()
        self._meddle = meddle

    def run(self, function, context, tasks, tick):
        if function is pack_shard:
            self._meddle()
        return super().run(function, context, tasks, tick)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_images(tmp_path / "source", 60)


def pack_while(source: Path, dest: Path, meddle: Callable[[], object], **options):
    return pack(make_options(source, dest, **options), engine=MeddlingEngine(meddle)).manifest


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff and another size"], ids=["emptied", "rewritten"])
def test_a_file_of_another_size_ends_the_run(source: Path, tmp_path: Path, content: bytes) -> None:
    changed = source / "c1/0004.jpg"
    expected = changed.stat().st_size
    with pytest.raises(SourceChangedError) as caught:
        pack_while(source, tmp_path / "out", lambda: changed.write_bytes(content))
    assert str(caught.value).startswith(f"{changed}: expected {expected:,} bytes as listed, found {len(content):,}; ")
    assert caught.value.exit_code == 1
    assert not (tmp_path / "out/manifest.json").exists()


def test_a_file_that_was_restored_lets_the_run_go_on(source: Path, tmp_path: Path) -> None:
    changed = source / "c1/0004.jpg"
    content = changed.read_bytes()
    pack_small(source, tmp_path / "undisturbed")
    with pytest.raises(SourceChangedError):
        pack_while(source, tmp_path / "out", lambda: changed.write_bytes(b"x"))
    changed.write_bytes(content)
    pack_small(source, tmp_path / "out", resume=True)
    assert digests(tmp_path / "out") == digests(tmp_path / "undisturbed")


def test_a_file_that_is_gone_is_a_reject(source: Path, tmp_path: Path) -> None:
    manifest = pack_while(source, tmp_path / "out", (source / "c1/0004.jpg").unlink, max_rejects=0.1)
    assert manifest.rejects == {"missing": 1}
    assert '"key":"c1/0004.jpg"' in (tmp_path / "out/meta/rejects.jsonl").read_text()
    assert {shard.num_records for shard in manifest.splits["train"].shards} == {15}


def test_a_folder_that_is_gone_is_too_many_rejects(source: Path, tmp_path: Path) -> None:
    with pytest.raises(PackerError, match=r"items were rejected, expected at most 1.00%"):
        pack_while(source, tmp_path / "out", lambda: shutil.rmtree(source / "c1"))


def test_a_file_that_became_a_folder(source: Path, tmp_path: Path) -> None:
    def meddle() -> None:
        (source / "c1/0004.jpg").unlink()
        (source / "c1/0004.jpg").mkdir()

    with pytest.raises(PackerError, match=r"c1/0004\.jpg: cannot be read \(Is a directory\)"):
        pack_while(source, tmp_path / "out", meddle)


def test_files_that_came_later_do_not_count(source: Path, tmp_path: Path) -> None:
    pack_small(source, tmp_path / "undisturbed")
    pack_while(source, tmp_path / "out", lambda: shutil.copy(source / "c0/0000.jpg", source / "c0/new.jpg"))
    assert digests(tmp_path / "out") == digests(tmp_path / "undisturbed")


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE, errno.ETIMEDOUT])
def test_a_file_that_cannot_be_read_ends_the_run(
    source: Path, tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reject would make a data set that depends on the day; nothing is known about the image."""
    get = LocalStore.get

    def failing_get(store: LocalStore, key: str, *etag: str) -> bytes:
        if key == "c1/0004.jpg":
            raise OSError(number, os.strerror(number), f"{store.uri}/{key}")
        return get(store, key, *etag)

    monkeypatch.setattr(LocalStore, "get", failing_get)
    with pytest.raises(PackerError, match=rf"^{source}/c1/0004\.jpg: .*\({os.strerror(number)}\)") as caught:
        pack_small(source, tmp_path / "out")
    assert isinstance(caught.value, SourceError) == (number in (errno.EACCES, errno.EPERM))
    assert "`resume=True`" in str(caught.value)


def test_empty_files_are_rejects_from_the_start(source: Path, tmp_path: Path) -> None:
    (source / "c1/0004.jpg").write_bytes(b"")
    manifest = pack_small(source, tmp_path / "out", max_rejects=0.1).manifest
    assert manifest.rejects == {"empty_file": 1}


def test_a_worker_tells_in_one_line(source: Path, tmp_path: Path) -> None:
    """The same through real workers: an error of the system is no traceback."""
    (source / "c1/0004.jpg").unlink()
    (source / "c1/0004.jpg").symlink_to("/proc/self/mem")  # can be opened, and not read
    done = run_command("pack", source, tmp_path / "out", "--gpus", 4, "--resize", 24, "--workers", 1)
    assert done.returncode in (1, 2)
    assert done.stderr.count("\n") == 1, done.stderr
    assert "0004.jpg" in done.stderr
