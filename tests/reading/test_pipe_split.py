"""Pipe channels with real FIFOs, fed by threads; the failure to fear is a hang, so waits are short."""

import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from packer.errors import CorruptRecordError, DataSetError, OptionsError
from packer.formats.recordio import MAGIC
from packer.reading.dataset import open_dataset
from packer.reading.fifo import FifoStream
from packer.reading.job_channels import Place, open_channels
from packer.reading.records import ReadSpec, iter_samples
from packer.reading.shard_file import iter_shard
from packer.specs import FormatName
from tests.reading.containers import feeding, shard_bytes, write_job
from tests.reading.make_dataset import deal, make_dataset, make_samples
from tests.tools.datasets import STREAMED

HOSTS = ("algo-1", "algo-2")
PIPES = dict.fromkeys(("train0", "train1", "val0", "val1"), ("Pipe", "ShardedByS3Key"))
SHORT_S = 0.3
"""Longer than any wait in a test that is to end well, as the feeder is there."""


def tricky_samples(num_samples, *, first=0):
    """Return samples whose payloads have RecordIO's magic in them, at every alignment."""
    return [
        dataclasses.replace(sample, encoded=sample.encoded + b"\0" * (sample.label % 4) + MAGIC * (sample.label % 3))
        for sample in make_samples(num_samples, first=first)
    ]


class Channels:
    """Rank 1 of 4, the second on the first of two hosts, and what may come to it: shards 1, 3, 5, 7 go to channel 1."""

    def __init__(self, base, data, container):
        splits = {"train": deal(tricky_samples(24), 8), "val": deal(tricky_samples(21, first=100), 8)}
        make_dataset(data, splits, container=container, world=4)
        self.files = write_job(base, data, PIPES, hosts=HOSTS)
        self.data, self.dataset = data, open_dataset(str(data))
        self.source = open_channels(str(base), Place(rank=1, world=4, local_rank=1, local_size=2))

    def shards(self, *indices, split="train"):
        return [self.dataset.manifest.split(split).shards[index] for index in indices]

    def bytes_of(self, *indices, split="train"):
        return shard_bytes(self.data, self.shards(*indices, split=split))

    def fifo(self, epoch, channel="train1"):
        return self.files.fifo(channel, epoch=epoch)

    def samples(self, split="train", *, timeout_s=20.0, **spec):
        return iter_samples(self.source, split, ReadSpec(rank=1, world=4, pipe_timeout_s=timeout_s, **spec))

    def labels(self, split="train", **spec):
        return [sample.label for sample in self.samples(split, **spec)]


FRAMED = (FormatName.TFRECORD, FormatName.RECORDIO)
"""Shards of a WebDataset are padded to equal sizes here, by which a stream cannot tell them apart."""


@pytest.fixture(params=FRAMED)
def channels(tmp_path, request):
    return Channels(tmp_path / "base", tmp_path / "data", request.param)


def test_an_epoch_is_what_the_fifo_carries(channels):
    with feeding((channels.fifo(0), channels.bytes_of(3, 7))):
        samples = list(channels.samples(shuffle_records=0))
    assert [sample.label for sample in samples] == [3, 11, 19, 7, 15, 23]
    written = {sample.label: sample for sample in tricky_samples(24)}
    assert [sample.encoded for sample in samples] == [written[sample.label].encoded for sample in samples]


def test_records_of_a_stream_are_shuffled_too(channels):
    with feeding((channels.fifo(0), channels.bytes_of(3, 7))):
        assert sorted(channels.labels(seed=1)) == [3, 7, 11, 15, 19, 23]


def test_each_read_of_a_channel_takes_its_next_fifo(channels):
    """Shards may be assigned anew in each epoch; evaluation and training count apart, being apart channels."""
    epochs = [
        (channels.fifo(0), channels.bytes_of(1, 3)),
        (channels.fifo(0, "val1"), channels.bytes_of(5, 7, split="val")),
        (channels.fifo(1), channels.bytes_of(7, 1)),
        (channels.fifo(1, "val1"), channels.bytes_of(1, 5, split="val")),
    ]
    with feeding(*epochs) as closed_early:
        assert channels.labels(shuffle_records=0)[:3] == [1, 9, 17]
        assert channels.labels("val") == [105, 113, 107, 115]
        assert channels.labels(shuffle_records=0)[:3] == [7, 15, 23]
        assert channels.labels("val") == [101, 109, 117, 105, 113]
    assert closed_early == []


def test_a_fifo_is_waited_for(channels):
    def feed_late():
        time.sleep(0.2)
        with feeding((channels.fifo(0), channels.bytes_of(1, 3))):
            pass

    thread = threading.Thread(target=feed_late)
    thread.start()
    assert len(channels.labels()) == 6
    thread.join()


def test_a_fifo_without_a_writer_is_not_at_its_end(channels):
    os.mkfifo(channels.fifo(0))
    content = channels.bytes_of(1, 3)
    writer = threading.Timer(0.2, lambda: Path(channels.fifo(0)).write_bytes(content))
    writer.start()
    assert len(channels.labels()) == 6


def test_an_early_close_ends_the_epoch_and_the_next_one_follows(channels):
    content = channels.bytes_of(1, 3)
    junk = bytes(4 << 20)  # more than a pipe holds, so the writer is still at it
    with feeding((channels.fifo(0), [content, junk]), (channels.fifo(1), content)) as closed_early:
        samples = channels.samples(shuffle_records=0)
        assert next(samples).label == 1
        samples.close()
        assert len(channels.labels()) == 6
    assert closed_early == [channels.fifo(0)]


def test_a_new_epoch_closes_one_that_was_left_open(channels):
    content = channels.bytes_of(1, 3)
    with feeding((channels.fifo(0), [content, bytes(4 << 20)]), (channels.fifo(1), content)):
        abandoned = channels.samples(shuffle_records=0)
        assert next(abandoned).label == 1
        assert len(channels.labels()) == 6
    with pytest.raises((DataSetError, CorruptRecordError)):
        list(abandoned)  # after what had been read before


def test_a_reader_that_waits_learns_that_its_channel_was_closed(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    stream = FifoStream(str(tmp_path / "fifo"), timeout_s=20)
    threading.Timer(0.1, stream.abandon).start()
    with pytest.raises(DataSetError, match="fifo: closed while it was read: a channel has one reader"):
        stream.readinto(memoryview(bytearray(8)))
    stream.close()


@pytest.mark.slow
def test_a_channel_that_nobody_makes_is_an_error(channels):
    started_s = time.monotonic()
    with pytest.raises(DataSetError, match=rf"train1_0: waited {SHORT_S} s for the FIFO .* which nobody made"):
        channels.labels(timeout_s=SHORT_S)
    assert time.monotonic() - started_s < 5


@pytest.mark.slow
@pytest.mark.parametrize("has_writer", [True, False])
def test_a_channel_that_nobody_feeds_is_an_error(channels, has_writer):
    os.mkfifo(channels.fifo(0))
    held = os.open(channels.fifo(0), os.O_RDWR) if has_writer else None
    if held is not None:
        os.write(held, channels.bytes_of(1)[:100])
    came = 100 if has_writer else 0
    with pytest.raises(
        DataSetError, match=rf"train1_0: waited {SHORT_S} s for byte {came} and none came: nobody feeds"
    ):
        channels.labels(timeout_s=SHORT_S)
    if held is not None:
        os.close(held)


def test_what_is_no_fifo_is_an_error(channels):
    Path(channels.fifo(0)).write_bytes(channels.bytes_of(1, 3))
    with pytest.raises(DataSetError, match="train1_0: expected the FIFO of a Pipe channel's epoch, found another kind"):
        channels.labels()


def test_the_time_to_wait_is_above_zero():
    with pytest.raises(OptionsError, match="pipe timeout: expected seconds above 0, got 0"):
        ReadSpec(pipe_timeout_s=0)


def test_a_feeder_that_dies_is_an_error_with_its_place(channels, tmp_path):
    content = channels.bytes_of(1, 3)
    os.mkfifo(channels.fifo(0))
    (tmp_path / "content").write_bytes(content[: len(content) // 2])
    code = (
        "import pathlib, signal, sys, os\n"
        "fifo = open(sys.argv[1], 'wb', buffering=0)\n"
        "fifo.write(pathlib.Path(sys.argv[2]).read_bytes())\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    feeder = subprocess.Popen([sys.executable, "-c", code, channels.fifo(0), tmp_path / "content"])
    with pytest.raises(CorruptRecordError, match=r"train1_0: record \d at byte [\d,]+: .* the file is cut short"):
        channels.labels()
    assert feeder.wait() == -signal.SIGKILL


TRAINING_FAULTS = {
    "fewer": ((1,), r"train1_0: expected 6 records of the rank's shards, found 3; the channel carries other shards"),
    "none": ((), r"expected 6 records of the rank's shards, found 0"),
    "more": ((1, 3, 5), r"expected 6 records of the rank's shards, found more"),
    "twice": (
        (3, 3),
        r"records 3 to 5: expected the bytes of a shard of the manifest that has not yet come, found [\d,]+",
    ),
    "of another rank": ((0, 2), r"records \d to \d: expected the bytes of a shard"),
}


@pytest.mark.parametrize("fault", TRAINING_FAULTS)
def test_a_training_stream_of_other_shards_is_an_error(channels, fault):
    indices, message = TRAINING_FAULTS[fault]
    with feeding((channels.fifo(0), channels.bytes_of(*indices))), pytest.raises(DataSetError, match=message):
        channels.labels()


@pytest.mark.parametrize("indices", [(1, 3), (5, 7), (3, 5), (7, 1)])
def test_an_evaluation_stream_may_have_any_two_shards(channels, indices):
    expected = [s.num_records for s in channels.shards(*indices, split="val")]
    with feeding((channels.fifo(0, "val1"), channels.bytes_of(*indices, split="val"))):
        assert len(channels.labels("val")) == sum(expected)


@pytest.mark.parametrize(
    ("indices", "found"), [((1,), "3"), ((), "0"), ((1, 3, 5), "more")], ids=["fewer", "none", "more"]
)
def test_an_evaluation_stream_of_other_shards_is_an_error(channels, indices, found):
    content = channels.bytes_of(*indices, split="val")
    message = rf"val1_0: expected 4 to 6 records of the rank's shards, found {found}"
    with feeding((channels.fifo(0, "val1"), content)), pytest.raises(DataSetError, match=message):
        channels.labels("val")


def test_nothing_of_a_pipe_is_checked_before_it_is_read(channels):
    share = channels.source.check("train", rank=1, world=4)
    assert (share.delivery, share.own_shards) == ("Pipe", ())
    assert channels.source.files("train", ReadSpec(rank=1, world=4), epoch=0) is None


@pytest.mark.parametrize("container", FRAMED)
def test_a_stream_that_is_torn_anywhere_is_an_error_with_the_torn_record(tmp_path, container):
    samples = [dataclasses.replace(sample, encoded=MAGIC + sample.encoded[:9] + MAGIC) for sample in make_samples(6)]
    make_dataset(tmp_path / "data", {"train": deal(samples, 3)}, container=container)
    files = write_job(tmp_path / "base", tmp_path / "data", {"train0": ("Pipe", "ShardedByS3Key")})
    source = open_channels(str(tmp_path / "base"), Place())
    dataset = open_dataset(str(tmp_path / "data"))
    content = shard_bytes(tmp_path / "data", dataset.manifest.split("train").shards)
    sizes = [record.num_bytes for record in iter_shard(dataset.shard_file(dataset.manifest.split("train").shards[0]))]
    torn = [num_bytes for num_bytes in range(1, sum(sizes[:2])) if num_bytes != sizes[0]]
    epochs = [(files.fifo("train0", epoch=epoch), content[:num_bytes]) for epoch, num_bytes in enumerate(torn)]
    with feeding(*epochs, ahead=True):
        for num_bytes in torn:
            with pytest.raises(CorruptRecordError, match="the file is cut short") as caught:
                list(iter_samples(source, "train", ReadSpec(pipe_timeout_s=20)))
            assert (caught.value.record_index, caught.value.offset_bytes) == (
                (0, 0) if num_bytes < sizes[0] else (1, sizes[0])
            )


@pytest.mark.slow
@given(data=st.data())
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pieces_make_no_difference(tmp_path_factory, data):
    channels = Channels(
        tmp_path_factory.mktemp("b") / "base", tmp_path_factory.mktemp("d"), data.draw(st.sampled_from(STREAMED))
    )
    content = channels.bytes_of(5, 1)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=8)))
    pieces = [content[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(content)], strict=True)]
    with feeding((channels.fifo(0), pieces)):
        assert channels.labels(shuffle_records=0) == [5, 13, 21, 1, 9, 17]
