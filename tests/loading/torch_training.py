"""A rank of a job that torchrun started: trains a linear model by DistributedDataParallel and prints what it saw.

python -m torch.distributed.run --nproc-per-node 2 torch_training.py DATA WHERE
"""

import itertools
import json
import os
import sys

import torch
from torch.nn.functional import cross_entropy

import packer
from packer.trainer.core.world import parse_world


def main() -> None:
    uri, where = sys.argv[1:]
    world = parse_world(os.environ)
    torch.distributed.init_process_group("gloo")
    train, val = (
        packer.Loader(uri, split, batch_size=8, image_px=16, rank=world.rank, world=world.size, where=where)
        for split in ("train", "val")
    )
    torch.manual_seed(0)
    head = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, 3))
    model = torch.nn.parallel.DistributedDataParallel(head)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    steps, losses = [], []
    batches = iter(packer.TorchBatches(train))
    for _ in range(3):
        sums = torch.zeros(2)
        for batch in itertools.islice(batches, train.steps):
            loss = cross_entropy(model(batch.images / 127.5 - 1), batch.labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            sums += torch.tensor([loss.item(), 1])
        steps.append(int(sums[1]))
        torch.distributed.all_reduce(sums)
        losses.append(float(sums[0] / sums[1]))
    evaluated = sum(batch.weights.sum() for batch in packer.TorchBatches(val))
    torch.distributed.all_reduce(evaluated)
    said = json.dumps({"rank": world.rank, "steps": steps, "losses": losses, "evaluated": int(evaluated)})
    sys.stdout.write(said + "\n")  # at once: torchrun unbuffers its ranks, and print would write the end of line later
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
