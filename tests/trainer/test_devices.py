import pytest

from packer.errors import OptionsError
from packer.trainer.devices import choose_gpu
from packer.trainer.world import World


@pytest.mark.parametrize(
    ("gpus", "local_rank", "chosen"),
    [("abcd", 0, "a"), ("abcd", 2, "c"), ("a", 3, "a")],  # the last: a launcher that shows each rank its own
)
def test_choose_gpu(gpus, local_rank, chosen):
    assert choose_gpu(gpus, World(rank=4 + local_rank, local_rank=local_rank, size=8, local_size=4)) == chosen


def test_more_ranks_than_gpus_are_refused():
    with pytest.raises(OptionsError, match="at most one rank for each of the 2 GPUs of this host, got 4 ranks"):
        choose_gpu("ab", World(rank=1, local_rank=1, size=8, local_size=4))
