import pytest

from packer.trainer.core.recipe import Decay, Recipe, find_preset
from packer.trainer.core.schedule import Schedule, schedule_of


@pytest.mark.parametrize(
    ("world", "warmup_epochs", "step", "rate"),
    [
        (1, 1, 0, 0.1),
        (1, 1, 5, 0.1),  # one rank has nothing to climb to
        (4, 1, 0, 0.1),
        (4, 1, 5, 0.25),
        (4, 1, 10, 0.4),
        (4, 1, 99, 0.4),
        (4, 0, 0, 0.4),
    ],
)
def test_the_rate_climbs_to_that_of_all_ranks(world, warmup_epochs, step, rate):
    recipe = Recipe(learning_rate=0.1, warmup_epochs=warmup_epochs)
    assert schedule_of(recipe, steps_per_epoch=10, world=world).rate(step) == pytest.approx(rate)


def test_accumulated_batches_count_like_ranks():
    two = schedule_of(Recipe(), steps_per_epoch=10, world=2)
    assert schedule_of(Recipe(accumulation=2), steps_per_epoch=10, world=1) == two


def test_the_rate_may_be_meant_for_another_batch():
    recipe = Recipe(learning_rate=0.1, rate_batch=256, batch_size=32)
    assert schedule_of(recipe, steps_per_epoch=10, world=64).full_rate == pytest.approx(0.8)
    small = schedule_of(recipe, steps_per_epoch=10, world=1)
    assert small.full_rate == small.base_rate == pytest.approx(0.0125)


def test_a_cosine_ends_at_nothing():
    schedule = Schedule(base_rate=0.1, full_rate=0.4, warmup_steps=10, total_steps=110, decay=Decay.COSINE)
    assert schedule.rate(10) == pytest.approx(0.4)
    assert schedule.rate(60) == pytest.approx(0.2)
    assert 0 < schedule.rate(109) < 0.001
    assert schedule.rate(110) == schedule.rate(500) == pytest.approx(0)


def test_the_published_recipe_falls_by_tenths():
    """arXiv:1706.02677: 0.1 for 256 images, so 3.2 for 8,192, after a warm-up of 5 epochs from 0.1."""
    schedule = schedule_of(find_preset("imagenet"), steps_per_epoch=100, world=256)
    rates = [schedule.rate(epoch * 100) for epoch in (0, 5, 29.99, 30, 60, 80, 89)]
    assert rates == pytest.approx([0.1, 3.2, 3.2, 0.32, 0.032, 0.0032, 0.0032])
