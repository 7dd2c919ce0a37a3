"""What the meter says of a loader and its consumer, by a clock that the test sets."""

import pytest

from packer.loading import loader_meter
from packer.loading.batch_feed import MadeBatch
from packer.loading.loader_meter import LoaderMeter
from packer.loading.loader_spec import BatchPlace
from tests.loading.test_loader import open_loader
from tests.reading.make_dataset import deal, make_dataset, make_samples


class Clock:
    def __init__(self):
        self.now_s = 100.0

    def perf_counter(self):
        return self.now_s


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(loader_meter, "time", clock)
    return clock


def consume(meter, clock, *, waited_s, handed_over_s, worked_s, store_s=0.0, decode_s=0.0, num_batches=4):
    """Take batches of 8 samples, each of which was waited for, handed over, and worked on for so long."""
    for number in range(num_batches):
        asked_s = meter.start()
        clock.now_s += waited_s
        made = MadeBatch(slot=0, place=BatchPlace(0, number, number), num_samples=8, store_s=store_s, decode_s=decode_s)
        meter.count(made, asked_s=asked_s, was_ready=waited_s == 0)
        clock.now_s += handed_over_s
        meter.count_hand_over(handed_over_s)
        clock.now_s += worked_s
    return meter.read()


@pytest.mark.parametrize(
    ("binds", "times"),
    {
        "consumer": {"waited_s": 0.0, "handed_over_s": 0.1, "worked_s": 1.0, "decode_s": 0.5},
        "hand-over": {"waited_s": 0.0, "handed_over_s": 1.0, "worked_s": 0.5, "decode_s": 0.5},
        "store": {"waited_s": 1.0, "handed_over_s": 0.0, "worked_s": 0.5, "store_s": 2.0, "decode_s": 0.5},
        "decode": {"waited_s": 1.0, "handed_over_s": 0.0, "worked_s": 0.5, "store_s": 0.2, "decode_s": 2.5},
    }.items(),
)
def test_what_binds(clock, binds, times):
    assert consume(LoaderMeter(2), clock, **times).binds == binds


def test_counts(clock):
    reading = consume(LoaderMeter(2), clock, waited_s=0.25, handed_over_s=0.25, worked_s=0.5, store_s=0.1, decode_s=0.4)
    assert (reading.num_batches, reading.num_samples, reading.batches_ready) == (4, 32, 0)
    assert (reading.elapsed_s, reading.waited_s, reading.handed_over_s) == pytest.approx((4, 1, 1))
    assert (reading.samples_per_s, reading.waited_share) == pytest.approx((8, 0.25))
    assert reading.headroom == pytest.approx(4)  # two threads of 4 s, which worked for 2 s
    assert "32 samples in 4.0 s (8/s); waited 1.00 s (25.0%), 0 of 4 batches were ready" in str(reading)


def test_a_reset_begins_with_the_next_batch(clock):
    meter = LoaderMeter(1)
    consume(meter, clock, waited_s=1.0, handed_over_s=0.0, worked_s=1.0)
    meter.reset()
    clock.now_s += 1000
    assert (meter.read().elapsed_s, meter.read().waited_share, meter.read().headroom) == (0, 0, 0)
    reading = consume(meter, clock, waited_s=0.0, handed_over_s=0.0, worked_s=1.0, num_batches=2)
    assert (reading.elapsed_s, reading.num_batches, reading.batches_ready, reading.waited_s) == (2, 2, 2, 0)


def test_a_loader_counts_its_own_hand_over_and_that_of_adapters(tmp_path):
    make_dataset(tmp_path, {"train": deal(make_samples(24), 4)})
    with open_loader(tmp_path) as loader:
        held = [batch for batch, _ in zip(loader, range(12), strict=False)]  # the last ones are copies
        reading = loader.meter
        loader.count_hand_over(1000)
        assert loader.meter.handed_over_s > 1000
    assert reading.num_batches == 13 > len(held)
    assert 0 < reading.handed_over_s < reading.elapsed_s
    assert reading.store_s > 0
    assert reading.decode_s > 0
