"""What ranks say to each other, run as each rank of a job: prints one line when all of it was right."""

import os
import sys
import time

import tensorflow as tf

from packer.errors import WorkerError
from packer.trainer.collective import open_collective
from packer.trainer.small_network import build_optimizer
from packer.trainer.world import parse_world


def check_all(world, collective):
    assert collective.allgather(f"from {world.rank}") == ["from 0", "from 1"]
    assert collective.broadcast(world.rank + 7) == 7
    assert collective.total([1.0, 2.0**40 + world.rank]) == (2.0, 2.0**41 + 1)
    weights = tf.Variable([float(world.rank), 10.0 + world.rank])
    collective.broadcast_variables([weights])
    assert weights.numpy().tolist() == [0.0, 10.0]
    optimizer = collective.wrap_optimizer(build_optimizer())
    optimizer.learning_rate = 1.0
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(weights * [2.0, 4.0 * world.rank])
    optimizer.minimize(loss, [weights], tape=tape)
    assert weights.numpy().tolist() == [-2.0, 8.0], "the mean over ranks of the gradients is 2, 2"


def check_stall(world, collective):
    """Rank 1 stops answering; rank 0 must not wait for ever."""
    if world.rank == 1:
        time.sleep(55)
    try:
        collective.total([1.0])
    except WorkerError as error:
        print(f"error: rank {world.rank}: {error}", flush=True)
        os._exit(1)  # an ordinary exit waits for rank 1


if __name__ == "__main__":
    this = parse_world(os.environ)
    {"all": check_all, "stall": check_stall}[sys.argv[1]](this, open_collective(this))
    print(f"rank {this.rank} of {this.size} under {this.launcher}: all is right", flush=True)
