"""A rank of a job that torchrun started: trains a linear model by DistributedDataParallel and prints what it saw.

python -m torch.distributed.run --nproc-per-node 2 torch_training.py DATA WORKERS
"""

import json
import os
import sys
from functools import partial

import torch
from torch.nn.functional import cross_entropy

from packer.reading.dataset import open_dataset
from packer.reading.read_spec import BatchSpec, ReadSpec
from packer.reading.torch_data import BatchLoader
from packer.trainer.core.world import parse_world


def main() -> None:
    uri, num_workers = sys.argv[1], int(sys.argv[2])
    world = parse_world(os.environ)
    torch.distributed.init_process_group("gloo")
    read, batch = ReadSpec(rank=world.rank, world=world.size), BatchSpec(batch_size=8, image_px=16)
    source = partial(open_dataset, uri)
    train = BatchLoader(source, "train", read, batch, num_workers=num_workers)
    val = BatchLoader(source, "val", read, batch, num_workers=num_workers)
    torch.manual_seed(0)
    head = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, 3))
    model = torch.nn.parallel.DistributedDataParallel(head)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    steps, losses = [], []
    for epoch in range(3):
        sums = torch.zeros(2)
        for images, labels, _ in train.epoch(epoch):
            loss = cross_entropy(model(images / 127.5 - 1), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            sums += torch.tensor([loss.item(), 1])
        steps.append(int(sums[1]))
        torch.distributed.all_reduce(sums)
        losses.append(float(sums[0] / sums[1]))
    evaluated = sum(weights.sum() for _, _, weights in val.epoch())
    torch.distributed.all_reduce(evaluated)
    said = json.dumps({"rank": world.rank, "steps": steps, "losses": losses, "evaluated": int(evaluated)})
    sys.stdout.write(said + "\n")  # at once: torchrun unbuffers its ranks, and print would write the end of line later
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
