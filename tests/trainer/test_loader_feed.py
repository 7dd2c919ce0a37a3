"""Which samples make a step: the same, however many ranks share them."""

import itertools

import pytest

from packer.trainer.core.loader_feed import LoaderFeed
from packer.trainer.core.progress_state import TrainingProgress
from packer.trainer.core.recipe import Recipe
from packer.trainer.core.train_options import ReadingOptions, TrainOptions
from packer.trainer.core.world import Launcher, World
from tests.reading.make_dataset import deal, make_dataset, make_samples

NUM_RECORDS, GLOBAL_BATCH = 96, 8
STEPS = NUM_RECORDS // GLOBAL_BATCH


@pytest.fixture
def data(tmp_path):
    """Each record is a class of its own, so its label is its key."""
    make_dataset(tmp_path, {"train": deal(make_samples(NUM_RECORDS, side_px=16), 8)}, world=4)
    return tmp_path


def open_feeds(data, num_ranks, accumulation=1):
    recipe = Recipe(batch_size=GLOBAL_BATCH // num_ranks // accumulation, accumulation=accumulation, image_size=16)
    options = TrainOptions(data=str(data), recipe=recipe, reading=ReadingOptions(loader="process", threads=1))
    worlds = [
        World(rank=rank, local_rank=rank, size=num_ranks, local_size=num_ranks, launcher=Launcher.TORCHRUN)
        for rank in range(num_ranks)
    ]
    return [LoaderFeed(options, world, is_stream=False) for world in worlds]


def take(feeds, progress, num_steps=None):
    """Return the labels of each step over all ranks, of what is left of the epoch."""
    by_rank = [itertools.islice(feed.training(progress), num_steps) for feed in feeds]
    return [
        sorted(int(label) for batches in step for batch in batches for label in batch.labels)
        for step in zip(*by_rank, strict=True)
    ]


def close(feeds):
    for feed in feeds:
        feed.close()


@pytest.mark.parametrize(("num_ranks", "accumulation"), [(4, 1), (1, 1), (1, 2), (2, 2)])
def test_two_ranks_go_on_as_others_with_the_same_samples_in_each_step(data, num_ranks, accumulation):
    undisturbed = open_feeds(data, 2)
    expected = [take(undisturbed, TrainingProgress(epoch=epoch)) for epoch in range(2)]
    assert sorted(itertools.chain(*expected[0])) == list(range(NUM_RECORDS))
    assert expected[0] != expected[1]
    close(undisturbed)

    first = open_feeds(data, 2)
    assert take(first, TrainingProgress(), 5) == expected[0][:5]
    state = first[0].state()
    close(first)
    progress = TrainingProgress(position=5 * GLOBAL_BATCH, steps_done=5)
    others = open_feeds(data, num_ranks, accumulation)
    assert all(feed.resume(state, progress) for feed in others)
    assert take(others, progress) == expected[0][5:]
    assert take(others, TrainingProgress(epoch=1, steps_done=STEPS)) == expected[1]
    close(others)
