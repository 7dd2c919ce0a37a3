"""What ranks say to each other, run as each rank of a job: prints one line when all of it was right."""

import os
import sys
import time

from packer.dataset.manifest import PixelStatistics
from packer.errors import WorkerError
from packer.trainer.core.collective import total
from packer.trainer.core.feed import ArrayBatch
from packer.trainer.core.framework import ModelSpec, StepOrder
from packer.trainer.core.recipe import Recipe
from packer.trainer.core.world import parse_world
from packer.trainer.frameworks import open_framework


def check_all(world, framework):
    import numpy as np

    collective = framework.collective
    assert collective.allgather(f"from {world.rank}") == ["from 0", "from 1"]
    assert total(collective, [1.0, 2.0**40 + world.rank]) == (2.0, 2.0**41 + 1)
    spec = ModelSpec(
        recipe=Recipe(image_size=16),
        num_classes=3,
        pixels=PixelStatistics(mean=(127.0,) * 3, std=(50.0,) * 3),
        seed=world.rank,
    )
    learner = framework.build(spec)
    learner.broadcast()
    assert len(set(collective.allgather(learner.save()))) == 1, "rank 0 began with other weights"
    batch = ArrayBatch(
        images=np.full([2, 16, 16, 3], 100 * world.rank, np.uint8),
        labels=np.array([world.rank, 2]),
        weights=np.ones(2, np.float32),
    )
    numbers = learner.step([batch], StepOrder(learning_rate=0.1, seeds=(0,), stop=world.rank == 1)).read()
    assert (numbers.stop, numbers.save) == (True, False), "rank 1 was told to end"
    assert len(set(collective.allgather(numbers.loss))) == 1
    assert len(set(collective.allgather(learner.save()))) == 1


def check_stall(world, framework):
    """Rank 1 stops answering; rank 0 must not wait for ever."""
    if world.rank == 1:
        time.sleep(55)
    try:
        total(framework.collective, [1.0])
    except WorkerError as error:
        print(f"error: rank {world.rank}: {error}", flush=True)
        os._exit(1)  # an ordinary exit waits for rank 1


if __name__ == "__main__":
    this = parse_world(os.environ)
    check = {"all": check_all, "stall": check_stall}[sys.argv[1]]
    check(this, open_framework(sys.argv[2], this, sys.argv[3] if len(sys.argv) > 3 else ""))
    print(f"rank {this.rank} of {this.size} under {this.launcher}: all is right", flush=True)
