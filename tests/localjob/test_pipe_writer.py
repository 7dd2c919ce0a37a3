"""FIFOs of Pipe mode: one an epoch, the next when one was read or closed early, none left."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from packer.channels.jobfiles import JobFiles, ResourceConfig
from packer.localjob.pipe_writer import Piece, PipeChannel, WholeFile, close_channels, concatenate

LIMIT_S = 10
LARGE = 1 << 20
"""Bytes that no pipe holds at once."""


def open_channel(base: Path, epoch_pieces: Callable[[int], Iterable[Piece]]) -> tuple[PipeChannel, Path]:
    """Return a channel that is served and the folder of its FIFOs."""
    files = JobFiles(
        base_dir=str(base), resources=ResourceConfig(current_host="algo-1", hosts=("algo-1",)), channels={}
    )
    data = base / "input" / "data"
    data.mkdir(parents=True)
    return PipeChannel(files, "train0", epoch_pieces=epoch_pieces), data


@contextmanager
def served(base: Path, epoch_pieces: Callable[[int], Iterable[Piece]]) -> Iterator[tuple[PipeChannel, Path]]:
    """Serve one channel; yield it and the folder of its FIFOs, of which none may be left."""
    channel, data = open_channel(base, epoch_pieces)
    try:
        yield channel, data
    finally:
        channel.close()
    assert list(data.iterdir()) == []


def wait_for(path: Path) -> Path:
    deadline_s = time.monotonic() + LIMIT_S
    while not path.exists():
        assert time.monotonic() < deadline_s, f"{path.name} does not appear"
        time.sleep(0.005)
    return path


def read(path: Path) -> bytes:
    return wait_for(path).read_bytes()


def test_files_are_streamed_whole(tmp_path: Path) -> None:
    contents = [os.urandom(LARGE), b"small", os.urandom(3 * LARGE + 1)]
    files = [WholeFile(str(tmp_path / f"{number}"), len(content)) for number, content in enumerate(contents)]
    for file, content in zip(files, contents, strict=True):
        Path(file.path).write_bytes(content)
    with served(tmp_path / "job", lambda epoch: [files[0], b"between", *files[1:]]) as (_, data):
        assert read(data / "train0_0") == contents[0] + b"between" + contents[1] + contents[2]


def test_a_file_that_ends_too_early_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(b"123")
    channel, data = open_channel(tmp_path / "job", lambda epoch: [WholeFile(str(tmp_path / "short"), 5)])
    assert read(data / "train0_0") == b"123"
    with pytest.raises(OSError, match="short: expected 5 bytes, found 2 fewer"):
        channel.close()


def test_each_epoch_has_a_fifo_of_its_own(tmp_path: Path) -> None:
    with served(tmp_path, lambda epoch: [b"epoch ", str(epoch).encode()]) as (channel, data):
        assert [read(data / f"train0_{epoch}") for epoch in range(5)] == [b"epoch %d" % epoch for epoch in range(5)]
    use = channel.close()
    assert (use.host, use.channel, use.epochs_read, use.epochs_closed_early) == ("algo-1", "train0", 5, 0)
    assert use.num_bytes == 5 * len(b"epoch 0")


def test_the_next_fifo_appears_when_the_one_before_was_read_to_its_end(tmp_path: Path) -> None:
    with served(tmp_path, lambda epoch: [b"x" * 1000]) as (_, data):
        assert not (data / "train0_1").exists()
        with (data / "train0_0").open("rb", buffering=0) as fifo:
            assert len(fifo.read(999)) == 999
            time.sleep(0.15)  # all is written by now, but not read
            assert not (data / "train0_1").exists()
            assert fifo.read(10) == b"x"
            wait_for(data / "train0_1")
            assert fifo.read(10) == b""


def test_a_fifo_that_is_closed_early_is_over(tmp_path: Path) -> None:
    with served(tmp_path, lambda epoch: [bytes([epoch]) * LARGE] * 4) as (channel, data):
        with (data / "train0_0").open("rb", buffering=0) as fifo:
            assert fifo.read(10) == b"\0" * 10
        with wait_for(data / "train0_1").open("rb", buffering=0) as fifo:
            assert fifo.read(10) == b"\1" * 10
        assert read(data / "train0_2") == b"\2" * 4 * LARGE
    use = channel.close()
    assert (use.epochs_read, use.epochs_closed_early) == (1, 2)


def test_bytes_left_in_the_pipe_count_as_closed_early(tmp_path: Path) -> None:
    with served(tmp_path, lambda epoch: [b"0123456789"]) as (channel, data):
        with (data / "train0_0").open("rb", buffering=0) as fifo:
            assert fifo.read(9) == b"012345678"
        wait_for(data / "train0_1")
    use = channel.close()
    assert (use.epochs_read, use.epochs_closed_early) == (0, 1)


def test_objects_follow_each_other_without_anything_between_them() -> None:
    objects = {"a": [b"1", b"2"], "b": [], "c": [b"3"]}
    assert list(concatenate(["c", "b", "a"], lambda key: iter(objects[key]))) == [b"3", b"1", b"2"]


@pytest.mark.parametrize("readers", ["nobody", "one that stops reading"])
def test_closing_waits_for_no_reader(tmp_path: Path, readers: str) -> None:
    with served(tmp_path, lambda epoch: [b"x" * LARGE] * 4) as (channel, data):
        held = os.open(data / "train0_0", os.O_RDONLY) if readers != "nobody" else None
        time.sleep(0.05)
        started_s = time.monotonic()
        use = channel.close()
        assert time.monotonic() - started_s < 1
        if held is not None:
            os.close(held)
    assert (use.epochs_read, use.epochs_closed_early) == (0, int(readers != "nobody"))


def test_an_object_that_cannot_be_read_ends_the_service_with_its_error(tmp_path: Path) -> None:
    def fail(epoch: int) -> Iterator[bytes]:
        yield b"x"
        raise OSError("the bucket is gone")

    channel, data = open_channel(tmp_path, fail)
    assert read(data / "train0_0") == b"x"
    while channel.error is None:
        time.sleep(0.005)
    with pytest.raises(OSError, match="the bucket is gone"):
        channel.close()
    assert list(data.iterdir()) == []


def test_all_channels_are_closed_though_one_fails(tmp_path: Path) -> None:
    def fail(epoch: int) -> Iterable[bytes]:
        raise OSError("gone")

    bad, bad_data = open_channel(tmp_path / "a", fail)
    good, good_data = open_channel(tmp_path / "b", lambda epoch: [b"x"])
    read(bad_data / "train0_0")
    with pytest.raises(OSError, match="gone"):
        close_channels([bad, good])
    assert list(good_data.iterdir()) == []
    assert not [thread for thread in threading.enumerate() if thread.name == "pipe train0"]
