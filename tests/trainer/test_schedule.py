import pytest

from packer.trainer.schedule import Schedule


@pytest.mark.parametrize(
    ("world", "warmup_steps", "step", "rate"),
    [
        (1, 10, 0, 0.1),
        (1, 10, 5, 0.1),  # one rank has nothing to climb to
        (4, 10, 0, 0.1),
        (4, 10, 5, 0.25),
        (4, 10, 10, 0.4),
        (4, 10, 99, 0.4),
        (4, 0, 0, 0.4),
    ],
)
def test_rate(world, warmup_steps, step, rate):
    assert Schedule(base_rate=0.1, world=world, warmup_steps=warmup_steps).rate(step) == pytest.approx(rate)
