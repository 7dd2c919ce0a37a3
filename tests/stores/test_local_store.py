import os
import resource
import signal
import socket
import stat
from pathlib import Path

import pytest

from packer.stores.local_store import TEMPORARY_FOLDER, LocalStore
from packer.stores.open_store import open_store
from packer.stores.store import Claim, Store
from tests.stores.store_contract import StoreContract


class TestLocalStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return LocalStore(tmp_path / "root")

    def again(self, store: Store) -> Store:
        return open_store(store.uri)


def test_uri_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_store("data").uri == str(tmp_path / "data")
    assert open_store(f"file://{tmp_path}/data").uri == str(tmp_path / "data")


def test_a_failed_write_leaves_the_old_content_and_no_key(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put("k", [b"old"])
    (tmp_path / "folder").mkdir()

    with pytest.raises(OSError, match="folder"):
        store.put("folder", [b"cannot replace a folder"])
    with pytest.raises(TypeError):
        store.put("k", [b"new", None])  # type: ignore[list-item]
    assert store.get("k") == b"old"
    assert list((tmp_path / TEMPORARY_FOLDER).iterdir()) == []


def test_sweep_removes_what_interrupted_writes_left(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put("k", [b"x"])
    (tmp_path / TEMPORARY_FOLDER / "left-behind").write_bytes(b"partial")
    assert [info.key for info in store.list()] == ["k"]
    store.sweep()
    assert os.listdir(tmp_path) == ["k"]


def test_a_claim_that_ends_leaves_the_empty_folder_of_another(tmp_path: Path) -> None:
    """Or else who lost a place at the moment of its claim would end the winner, who has written nothing yet."""
    store = LocalStore(tmp_path)
    winner, loser = (store.claimed(Claim(folder=store.open_folder(name, is_new=True))) for name in ("one", "two"))
    (tmp_path / "train").mkdir()
    loser.end_claim()
    winner.put("train/a", [b"shard"])
    assert {path.name for path in (tmp_path / TEMPORARY_FOLDER).iterdir()} == {winner.claim.folder}
    winner.end_claim()
    assert [path.name for path in tmp_path.iterdir()] == ["train"]


def test_delete_removes_folders_that_became_empty(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "root")
    store.put("a/b/c", [b"x"])
    store.delete("a/b/c")
    store.sweep()
    assert os.listdir(tmp_path / "root") == []


def test_a_file_that_grows_is_read_whole(tmp_path: Path) -> None:
    """Files of /proc say size 0 and have content: sizes are a hint only."""
    assert LocalStore("/proc/self").get("status").startswith(b"Name:")


def test_a_write_that_the_system_ends_leaves_nothing(tmp_path: Path) -> None:
    """At the limit a write is cut short, and the next one fails; as on a disk that is full."""
    store = LocalStore(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_001, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            store.put("k", [b"x" * 7_001] * 1_000)
        store.put("k", [b"x" * 1_001] * 999)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert os.path.getsize(tmp_path / "k") == 1_001 * 999
    assert list((tmp_path / TEMPORARY_FOLDER).iterdir()) == []


def test_a_write_ends_at_every_multiple_of_128_kib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ends, real_writev = [], os.writev

    def writev(descriptor: int, buffers: list[bytes]) -> int:
        written = real_writev(descriptor, buffers)
        ends.append(os.lseek(descriptor, 0, os.SEEK_CUR))
        return written

    monkeypatch.setattr(os, "writev", writev)
    buffers = [b"x" * 30_000] * 10 + [b"y" * 1_000_000] + [b"z"] * 200_000 + [b"w" * (1 << 17)]
    LocalStore(tmp_path).put("k", buffers)
    assert set(range(1 << 17, sum(map(len, buffers)), 1 << 17)) <= set(ends)


def test_a_write_that_the_system_cuts_short_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_writev = os.writev

    def writev(descriptor: int, buffers: list[bytes]) -> int:
        joined = b"".join(buffers)
        return real_writev(descriptor, [joined[: len(joined) // 3 + 1]])

    monkeypatch.setattr(os, "writev", writev)
    buffers = [bytes([n]) * 9_000 * n for n in range(20)]
    LocalStore(tmp_path).put("k", buffers)
    assert (tmp_path / "k").read_bytes() == b"".join(buffers)


@pytest.mark.parametrize("read", ["get", "view", "open", "get_range"])
@pytest.mark.parametrize("kind", ["a named pipe", "a link to one", "a socket", "a device", "a folder"])
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path, read: str, kind: str) -> None:
    path = tmp_path / "k"
    if kind == "a folder":
        path.mkdir()
    elif kind == "a device":
        path.symlink_to("/dev/zero")
    elif kind == "a socket":
        with socket.socket(socket.AF_UNIX) as unix:
            unix.bind(str(path))
    else:
        pipe = path if kind == "a named pipe" else tmp_path / "pipe"
        os.mkfifo(pipe)
        if pipe != path:
            path.symlink_to(pipe)
    arguments = ("k", 0, 1) if read == "get_range" else ("k",)
    signal.setitimer(signal.ITIMER_REAL, 20)  # its signal ends a process that waits for ever
    with pytest.raises(OSError, match=r"a directory|expected a file, found|No such device") as caught:
        getattr(LocalStore(tmp_path), read)(*arguments)
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert caught.value.filename == str(path)


def test_a_pipe_or_a_device_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    LocalStore(tmp_path).put("pipe", [b"one", b"two"])
    assert os.read(reader, 100) == b"onetwo"
    os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)

    full = tmp_path / "full"
    full.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device") as caught:
        LocalStore(tmp_path).put("full", [b"one"])
    assert caught.value.filename == str(full)
    assert os.readlink(full) == "/dev/full"
