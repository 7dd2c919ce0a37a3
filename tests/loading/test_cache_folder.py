import os
import subprocess
import sys

import pytest

from packer.loading.cache_folder import CacheFolder, Part, Refusal


def fill(folder, digest, num_bytes=100):
    part = folder.begin(digest, num_bytes)
    assert isinstance(part, Part)
    os.write(part.descriptor, b"x" * num_bytes)
    folder.finish(part)


def names(folder):
    return sorted(os.listdir(folder.shards))


@pytest.fixture
def folder(tmp_path):
    return CacheFolder(tmp_path / "cache", 250)


def test_what_is_needed_last_goes_first(folder):
    folder.announce(["c", "b", "a"])
    fill(folder, "a")
    fill(folder, "b")
    fill(folder, "c")
    assert names(folder) == ["b", "c"]


def test_nothing_goes_for_what_is_needed_later(folder):
    folder.announce(["a", "b", "c"])
    fill(folder, "a")
    fill(folder, "b")
    assert folder.begin("c", 100) is Refusal.NO_ROOM
    assert names(folder) == ["a", "b"]
    assert os.listdir(folder.root / "parts") == []


def test_what_nobody_needs_goes_in_the_order_in_which_it_came(folder):
    fill(folder, "z")
    os.utime(folder.shards / "z", (1, 1))
    fill(folder, "a")
    folder.announce(["new"])
    fill(folder, "new")
    assert names(folder) == ["a", "new"]


def test_too_little_would_be_gained_so_nothing_goes(folder):
    folder.announce(["a", "big"])
    fill(folder, "a", 200)
    fill(folder, "b", 50)
    assert folder.begin("big", 240) is Refusal.NO_ROOM
    assert names(folder) == ["a", "b"]


def test_what_another_reader_needs_stays(folder):
    other = CacheFolder(folder.root, 250)
    other.announce(["a", "b"])
    fill(folder, "a")
    fill(folder, "b")
    folder.announce(["x", "c"])
    assert folder.begin("c", 100) is Refusal.NO_ROOM
    other.close()
    fill(folder, "c")
    assert "c" in names(folder)


def test_a_part_takes_its_room_from_the_beginning(folder):
    folder.announce(["a", "b", "c"])
    parts = [folder.begin("a", 100), folder.begin("b", 100)]
    assert folder.begin("c", 100) is Refusal.NO_ROOM
    assert folder.begin("a", 100) is Refusal.ELSEWHERE
    folder.abandon(parts[0])
    assert isinstance(folder.begin("c", 100), Part)
    assert names(folder) == []


def test_a_shard_of_another_size_is_fetched_anew(folder):
    fill(folder, "a")
    os.truncate(folder.shards / "a", 99)
    assert not folder.has("a", 100)
    fill(folder, "a")
    assert folder.begin("a", 100) is Refusal.PRESENT


def test_what_a_killed_process_left_is_removed(folder):
    code = (
        "import os, sys; from pathlib import Path; from packer.loading.cache_folder import CacheFolder\n"
        "folder = CacheFolder(Path(sys.argv[1]), 250); folder.announce(['a', 'b'])\n"
        "os.write(folder.begin('a', 200).descriptor, b'half'); os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", code, folder.root])
    assert killed.returncode == -9
    assert os.listdir(folder.root / "parts") == ["a.200"]
    fill(folder, "c", 240)
    assert os.listdir(folder.root / "parts") == []
    folder.announce(["a"])
    fill(folder, "a", 200)
    assert len(os.listdir(folder.root / "readers")) == 1


def test_the_last_reader_removes_a_temporary_folder(tmp_path):
    first, second = (CacheFolder(tmp_path / "memory", 250, is_temporary=True) for _ in range(2))
    first.announce(["a"])
    second.announce(["b"])
    fill(first, "a")
    first.close()
    assert second.has("a", 100)
    second.close()
    assert not (tmp_path / "memory").exists()
    second.announce(["c"])  # it may be opened again
    fill(second, "c")
