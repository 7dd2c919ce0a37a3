import pytest

from packer.formats.registry import get_format
from packer.planning.costs import Traffic, estimate_traffic
from tests.planning.test_plan import items, plan


@pytest.mark.parametrize(("container", "num_side_files"), [("tfrecord", 0), ("recordio", 1)])
def test_traffic_of_a_small_plan(container: str, num_side_files: int) -> None:
    made = plan(items(2000), gpus=4, split="train=0.9,val=0.1", format=container)
    assert len(get_format(container).side_suffixes) == num_side_files
    traffic = estimate_traffic(made.header, source_bytes=made.source_bytes, num_side_files=num_side_files)
    assert made.source_bytes == sum(1000 + n for n in range(2000))
    assert traffic.num_gets == 2000 + 40
    assert traffic.num_puts == made.header.num_tasks * (4 + num_side_files) + 5
    assert traffic.num_lists == 2
    assert traffic.read_bytes == made.source_bytes * 1.02
    assert traffic.written_bytes == 2000 * 30_000


def test_prices() -> None:
    """A million small images: 0.40 to read them, 0.01 to list and write, 0.69 a month for 30 GB."""
    traffic = Traffic(num_gets=1_000_000, num_puts=1000, num_lists=1000, read_bytes=10**11, written_bytes=30 * 10**9)
    assert traffic.request_dollars == pytest.approx(0.41)
    assert traffic.storage_dollars_per_month == pytest.approx(0.69)
