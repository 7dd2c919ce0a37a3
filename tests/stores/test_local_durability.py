"""What a folder as a store does so that a power cut loses nothing: order of calls, failed calls, no hard links."""

import errno
import multiprocessing
import os
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from packer.stores import local_store
from packer.stores.local_store import TEMPORARY_FOLDER, LocalStore


class Calls:
    """What is asked of the system, in order: fsync of a file or folder, and what gives or takes a name."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._root = root
        self.made: list[tuple[str, str]] = []
        self.failures: dict[str, list[int]] = {}
        real = {name: getattr(os, name) for name in ("fsync", "replace", "link", "unlink", "mkdir")}

        def fsync(descriptor: int) -> None:
            is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
            what = "folder" if is_folder else "file"
            self.note(f"sync {what}", os.readlink(f"/proc/self/fd/{descriptor}"))
            if self.failures.get(what):
                raise OSError(self.failures[what].pop(), "the disk says no")
            real["fsync"](descriptor)

        def named(name: str) -> Callable[..., None]:
            def call(*arguments: str | Path | int) -> None:
                real[name](*arguments)
                paths = [argument for argument in arguments if not isinstance(argument, int)]  # mkdir has a mode, too
                self.note(name, str(paths[-1]))

            return call

        monkeypatch.setattr(os, "fsync", fsync)
        for name in ("replace", "link", "unlink", "mkdir"):
            monkeypatch.setattr(os, name, named(name))

    def note(self, name: str, path: str) -> None:
        short = os.path.relpath(path, self._root)
        self.made.append((name, TEMPORARY_FOLDER if short.startswith(TEMPORARY_FOLDER) else short))


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Calls:
    return Calls(tmp_path, monkeypatch)


def test_a_file_is_on_the_disk_before_its_name_and_its_name_before_put_returns(tmp_path: Path, calls: Calls) -> None:
    store = LocalStore(tmp_path)
    store.put("meta/index/a", [b"1"])
    assert [call for call in calls.made if call != ("mkdir", TEMPORARY_FOLDER)] == [
        ("mkdir", "meta"),
        ("sync folder", "."),
        ("mkdir", "meta/index"),
        ("sync folder", "meta"),
        ("sync file", TEMPORARY_FOLDER),
        ("replace", "meta/index/a"),
        ("sync folder", "meta/index"),
    ]


def test_a_claim_is_on_the_disk_before_its_name(tmp_path: Path, calls: Calls) -> None:
    (tmp_path / "meta").mkdir()
    calls.made.clear()
    assert LocalStore(tmp_path).put_if_absent("meta/plan.json", [b"1"])
    made = [call for call in calls.made if call[0] != "mkdir"]
    assert made[:3] == [("sync file", TEMPORARY_FOLDER), ("link", "meta/plan.json"), ("sync folder", "meta")]


def test_a_name_that_is_removed_stays_removed(tmp_path: Path, calls: Calls) -> None:
    """The manifest is the first thing that --overwrite removes."""
    store = LocalStore(tmp_path)
    store.put("manifest.json", [b"1"])
    calls.made.clear()
    store.delete("manifest.json")
    assert calls.made == [("unlink", "manifest.json"), ("sync folder", ".")]


@pytest.mark.parametrize("what", ["file", "folder"])
@pytest.mark.parametrize("write", [LocalStore.put, LocalStore.put_if_absent], ids=["put", "claim"])
def test_a_file_that_failed_to_get_to_the_disk_is_written_anew(
    tmp_path: Path, calls: Calls, what: str, write: Callable[..., object]
) -> None:
    """A second fsync of the same file may say yes for pages that the system has already given up."""
    store = LocalStore(tmp_path)
    store.put("other", [b"1"])
    calls.made.clear()
    calls.failures[what] = [errno.EIO, errno.ENOSPC]
    assert write(store, "k", [b"content"]) in (None, True)
    assert (tmp_path / "k").read_bytes() == b"content"
    assert sum(call == ("sync file", TEMPORARY_FOLDER) for call in calls.made) == 3
    assert not [path for path in tmp_path.glob(f"{TEMPORARY_FOLDER}/*")]


def test_a_disk_that_never_takes_it(tmp_path: Path, calls: Calls) -> None:
    store = LocalStore(tmp_path)
    store.put("k", [b"old"])
    calls.failures["file"] = [errno.EIO] * 100
    with pytest.raises(OSError, match="the disk says no") as caught:
        store.put("k", [b"new"])
    assert caught.value.filename == str(tmp_path / "k")
    assert (tmp_path / "k").read_bytes() == b"old"
    assert not list(tmp_path.glob(f"{TEMPORARY_FOLDER}/*"))


def test_a_file_system_that_has_no_fsync_of_folders(tmp_path: Path, calls: Calls) -> None:
    calls.failures["folder"] = [errno.EINVAL] * 100
    LocalStore(tmp_path).put("a/b/k", [b"1"])
    assert LocalStore(tmp_path).get("a/b/k") == b"1"


# --- without hard links ----------------------------------------------------------------------------------------------


@pytest.fixture(params=[errno.EPERM, errno.ENOTSUP, errno.ENOSYS], ids=errno.errorcode.get)
def no_links(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(source: str, target: str) -> None:
        raise OSError(request.param, os.strerror(request.param), source)

    monkeypatch.setattr(os, "link", link)


@pytest.mark.usefixtures("no_links")
def test_a_claim_without_hard_links(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    assert store.put_if_absent("meta/plan.json", [b"first"])
    assert not store.put_if_absent("meta/plan.json", [b"second"])
    assert store.get("meta/plan.json") == b"first"
    store.sweep()
    assert [path.name for path in tmp_path.rglob("*")] == ["meta", "plan.json"]


@pytest.mark.usefixtures("no_links")
def test_one_of_many_claims_without_hard_links_wins(tmp_path: Path) -> None:
    for round_number in range(20):
        barrier, wins = threading.Barrier(6), []

        def claim(number: int, key: str = f"{round_number}/plan.json", barrier=barrier, wins=wins) -> None:
            barrier.wait()
            wins.append(LocalStore(tmp_path).put_if_absent(key, [b"%d" % number]) and number)

        threads = [threading.Thread(target=claim, args=(number,)) for number in range(1, 7)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        winner = [number for number in wins if number]
        assert len(winner) == 1
        assert (tmp_path / f"{round_number}/plan.json").read_bytes() == b"%d" % winner[0]


@pytest.mark.usefixtures("no_links")
def test_the_lock_of_a_run_that_was_killed_as_it_claimed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_store, "_LOCK_PATIENCE_S", 0.1)
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta/plan.lock").write_bytes(b"")
    assert LocalStore(tmp_path).put_if_absent("meta/plan.json", [b"1"])
    assert not (tmp_path / "meta/plan.lock").exists()


@pytest.mark.usefixtures("no_links")
def test_who_finds_the_lock_waits_for_the_claim(tmp_path: Path) -> None:
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta/plan.lock").write_bytes(b"")

    def claim() -> None:
        time.sleep(0.1)
        (tmp_path / "meta/plan.json").write_bytes(b"the other's")

    thread = threading.Thread(target=claim)
    thread.start()
    assert not LocalStore(tmp_path).put_if_absent("meta/plan.json", [b"1"])
    thread.join()
    assert (tmp_path / "meta/plan.json").read_bytes() == b"the other's"
    assert (tmp_path / "meta/plan.lock").exists()


# --- reading what cannot be read -------------------------------------------------------------------------------------


def _read_what_shrinks(path: str) -> None:
    view = LocalStore(os.path.dirname(path)).view(os.path.basename(path))
    os.truncate(path, 0)
    assert bytes(view) == b"x" * 100_000


@pytest.mark.slow
def test_a_file_that_is_cut_while_it_is_looked_at(tmp_path: Path) -> None:
    """Behind a mapping this is SIGBUS, as is a bad sector: the process would end without a word."""
    (tmp_path / "k").write_bytes(b"x" * 100_000)
    process = multiprocessing.get_context("spawn").Process(target=_read_what_shrinks, args=(str(tmp_path / "k"),))
    process.start()
    process.join(60)
    assert process.exitcode == 0


@pytest.mark.parametrize("read", ["get", "view", "get_range"])
def test_a_bad_sector_is_an_error_that_names_the_file(
    tmp_path: Path, read: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "k").write_bytes(b"x")

    def fail(*arguments: object) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "read", fail)
    monkeypatch.setattr(os, "pread", fail)
    store = LocalStore(tmp_path)
    with pytest.raises(OSError, match="Input/output error") as caught:
        store.get_range("k", 0, 1) if read == "get_range" else getattr(store, read)("k")
    assert caught.value.filename == str(tmp_path / "k")
