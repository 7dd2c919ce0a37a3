import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from packer.errors import CorruptRecordError, DataSetError, OptionsError, WorkerError
from packer.loading import process_feed
from packer.loading.feed_messages import Beat, Ended, MessageWriter
from tests.loading.test_loader import add_noise, assert_same, labels, open_loader, take
from tests.reading.make_dataset import deal, make_dataset, make_samples

pytestmark = pytest.mark.slow  # each test starts a process

LIMIT_S = 60
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    splits = {"train": deal(make_samples(48), 4), "val": deal(make_samples(13, first=1), 4)}
    make_dataset(folder, splits, world=2)
    return folder


def children():
    """Return the ids of this process's children that make batches."""
    every = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    found = set()
    for pid in every:
        with contextlib.suppress(FileNotFoundError):
            if b"packer.loading.feed_process" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.add(pid)
    return found


def open_outside(data, *arguments, **options):
    return open_loader(data, *arguments, where="subprocess", **options)


def process_id(loader):
    return loader._feed._process.pid


def is_gone(pid):
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


def wait_until(condition, what):
    deadline_s = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.02)


def test_batches_are_those_that_threads_make_here(data):
    with open_outside(data, keys=True) as outside, open_loader(data, keys=True) as inside:
        ours, theirs = take(outside, 20), take(inside, 20)
    assert_same(ours, theirs)
    assert [list(batch.keys) for batch in ours] == [list(batch.keys) for batch in theirs]
    assert not children()


def test_passes_of_an_evaluation(data):
    with open_outside(data, "val", batch_size=4) as outside, open_loader(data, "val", batch_size=4) as inside:
        expected = take(inside, 9)
        for _ in range(2):
            found = take(outside, 9)
            assert [labels([batch]) for batch in found] == [labels([batch]) for batch in expected]
            np.testing.assert_array_equal(found[-1].images, expected[-1].images)


def test_all_batches_may_be_held_and_none_is_overwritten(data):
    with open_outside(data) as loader, open_loader(data) as inside:
        held = [batch for batch, _ in zip(loader, range(30), strict=False)]
        assert_same(held, take(inside, 30))


def test_batches_outlive_the_process(data):
    loader = open_outside(data)
    batch = next(iter(loader))
    copy = batch.images.copy()
    loader.close()
    del loader
    np.testing.assert_array_equal(batch.images, copy)
    del batch


def test_nothing_is_left_of_a_loader_that_nobody_refers_to(data):
    files, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    loader = open_outside(data)
    take(loader, 2)
    assert len(children()) == 1
    del loader
    assert not children()
    assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == (files, threads)


@pytest.mark.parametrize(("name", "hint"), [("SIGKILL", "where memory is short"), ("SIGSEGV", "")])
def test_a_process_that_is_killed_ends_in_a_named_error(data, name, hint):
    loader = open_outside(data)
    batches = iter(loader)
    next(batches)
    os.kill(process_id(loader), signal.Signals[name])
    with pytest.raises(WorkerError, match=rf"makes the batches of .* was ended by {name}.*{hint}"):
        take(loader, 99)
    assert not children()


def test_a_process_that_is_stopped_ends_in_a_named_error(data):
    loader = open_outside(data)
    next(iter(loader))
    loader._feed._stall_timeout_s = 0.5  # only now: a start may take any time
    os.kill(process_id(loader), signal.SIGSTOP)
    with pytest.raises(WorkerError, match=r"gave no sign of life for 0\.5 s and was ended"):
        take(loader, 99)
    assert not children()


def test_each_sign_of_life_gives_the_whole_time_anew(data, monkeypatch):
    waits_ms = []

    class Poll:
        """Lets one message in at each call, and none at the end."""

        def register(self, descriptor, events):
            pass

        def poll(self, timeout_ms):
            waits_ms.append(timeout_ms)
            message = messages.pop(0) if messages else None
            if message is not None:
                MessageWriter(sender).send(message)
            return message is not None

    with open_outside(data, stall_timeout_s=3) as loader, open_pipe() as (receiver, sender):
        feed = loader._begin()
        wait_until(feed.has_batch, "the first batch does not come")
        feed.take()
        theirs, feed._messages = feed._messages, receiver
        try:
            feed._ready.clear()
            messages = [Beat()] * 20 + [Ended()]
            monkeypatch.setattr(process_feed.select, "poll", Poll)
            assert feed.take() is None
            assert waits_ms == [3000] * 21
        finally:
            feed._messages = theirs


@contextlib.contextmanager
def open_pipe():
    receiver, sender = os.pipe()
    yield receiver, sender
    os.close(sender)
    with contextlib.suppress(OSError):  # the feed may have closed it
        os.close(receiver)


def test_a_process_that_is_only_slow_tells_that_it_lives(data, tmp_path):
    gate = tmp_path / "gate"
    os.environ["SHARDPACK_TEST_GATE"] = str(gate)
    try:
        with open_outside(data, transform=f"{__name__}:wait_for_gate") as loader:
            feed = loader._begin()
            beats = []
            feed._buffer.next = count_beats(feed._buffer.next, beats)
            wait_until(lambda: len(beats) >= 3 or feed.has_batch(), "the process does not say that it lives")
            assert not feed._ready
            gate.touch()
            assert len(take(loader, 1)) == 1
    finally:
        del os.environ["SHARDPACK_TEST_GATE"]


def count_beats(following, beats):
    def next_message():
        message = following()
        if isinstance(message, Beat):
            beats.append(message)
        return message

    return next_message


def wait_for_gate(image, generator):
    wait_until(Path(os.environ["SHARDPACK_TEST_GATE"]).exists, "the gate stays shut")
    return image


def test_the_loader_goes_on_after_its_process_was_killed(data):
    with open_outside(data) as loader, open_loader(data) as inside:
        everything = take(inside, 20)
        found = take(loader, 4)
        os.kill(process_id(loader), signal.SIGKILL)
        with contextlib.suppress(WorkerError):
            while len(found) < 20:  # batches that were made before come first
                found += take(loader, 1)
        assert len(found) < 20
        state = loader.state_dict()
        assert state["steps"] == len(found)
        assert_same(found + take(loader, 20 - len(found)), everything)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_the_process_ends_when_its_loader_is_gone(data, how):
    script = (
        "import packer, time\n"  # with no main guard, and from no file
        f"loader = packer.Loader({str(data)!r}, 'train', batch_size=4, image_px=8, threads=1)\n"
        "next(iter(loader))\n"
        "print(loader._feed._process.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        pid = int(process.stdout.readline())
        assert not is_gone(pid)
        process.send_signal(how)
    wait_until(lambda: is_gone(pid), "the process of the batches lives on")


def test_a_script_ends_by_itself(data):
    script = (
        "import packer\n"
        f"loader = packer.Loader({str(data)!r}, 'train', batch_size=4, image_px=8, threads=1)\n"
        "batch = next(iter(loader))\n"
        "print(batch.images.shape)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=True
    )
    assert (run.stdout, run.stderr) == ("(4, 8, 8, 3)\n", "")


def test_faults_keep_their_kind_and_name_the_record(tmp_path):
    make_dataset(tmp_path, {"train": deal(make_samples(48), 4)})
    shard = tmp_path / "train/train-00002-of-00004.tfrecord"
    content = bytearray(shard.read_bytes())
    content[-100] ^= 1
    shard.write_bytes(content)
    with pytest.raises(CorruptRecordError, match=rf"{shard.name}: record 11 at byte .*masked crc32c"):
        take(open_outside(tmp_path), 8)
    assert not children()


def test_a_data_set_that_was_packed_anew_is_seen(tmp_path):
    make_dataset(tmp_path, {"train": deal(make_samples(48), 4)})
    loader = open_outside(tmp_path)
    make_dataset(tmp_path, {"train": deal(make_samples(24), 4)})
    with pytest.raises(DataSetError, match="packed anew after the loader was opened"):
        take(loader, 1)


class TestTransforms:
    def test_by_name_and_as_a_function(self, data):
        found = []
        for transform in (add_noise, f"{add_noise.__module__}:add_noise"):
            with open_outside(data, transform=transform) as loader:
                found.append(take(loader, 3))
        with open_loader(data, transform=add_noise) as inside:
            expected = take(inside, 3)
        for batches in found:
            assert_same(batches, expected)

    def test_a_function_that_cannot_be_imported_is_refused(self, data):
        with pytest.raises(OptionsError, match='another process can import.*where="process"'):
            open_outside(data, transform=lambda image, generator: image)

    def test_what_it_raises_comes_with_its_traceback(self, data):
        with pytest.raises(WorkerError, match=r"(?s)could not make a batch.*in fail.*ZeroDivisionError"):
            take(open_outside(data, transform=fail), 1)


def fail(image, generator):
    return image // 0 if len(image) < 0 else 1 // 0


def stop_and_resume(data, chance, num_batches, expected):
    """Take some batches, kill the process, and go on from the state with other threads; compare what came."""
    at = chance.randrange(num_batches)
    where = chance.choice(["process", "process", "subprocess"])
    with open_loader(data, batch_size=5, threads=chance.randint(1, 4), where=where) as loader:
        if at:
            take(loader, at)
        state = json.dumps(loader.state_dict())
        if at and where == "subprocess":
            os.kill(process_id(loader), signal.SIGKILL)
    last = min(num_batches, at + chance.randint(1, 12))
    with open_loader(data, batch_size=5, threads=chance.randint(1, 4)) as loader:
        loader.load_state_dict(json.loads(state))
        assert_same(take(loader, last - at), expected[at:last])


def test_any_stop_can_be_resumed_bit_by_bit(data):
    with open_loader(data, batch_size=5) as loader:
        expected = take(loader, 30)
    chance = random.Random(0)
    for _ in range(200):
        stop_and_resume(data, chance, 30, expected)
