"""A training loop in PyTorch, and an evaluation that counts every record once.

python tests/examples/train_with_pytorch.py shards/
torchrun --nproc-per-node 8 ...    with rank=int(os.environ["RANK"]), world=int(os.environ["WORLD_SIZE"])
"""

import sys

import torch

import packer

PX, BATCH, EPOCHS = 32, 16, 2
uri, device = sys.argv[1], "cuda:0" if torch.cuda.is_available() else "cpu"
num_classes = packer.open(uri).manifest.num_classes
model = torch.nn.Sequential(
    torch.nn.Conv2d(3, 16, 3, stride=2),
    torch.nn.ReLU(),
    torch.nn.AdaptiveAvgPool2d(1),
    torch.nn.Flatten(),
    torch.nn.Linear(16, num_classes),
).to(device, memory_format=torch.channels_last)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)

with packer.Loader(uri, "train", batch_size=BATCH, image_px=PX, rank=0, world=1) as loader:
    for batch in packer.TorchBatches(loader, device):  # a training split has no end
        images = batch.images.float() / 127.5 - 1
        loss = torch.nn.functional.cross_entropy(model(images), batch.labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if batch.step == loader.steps - 1:
            print(f"epoch {batch.epoch}: loss of the last batch {loss.item():.3f}")
            if batch.epoch == EPOCHS - 1:
                break

right = total = 0.0
with packer.Loader(uri, "val", batch_size=BATCH, image_px=PX) as loader, torch.no_grad():
    for batch in packer.TorchBatches(loader, device):  # any other split ends after one pass
        found = model(batch.images.float() / 127.5 - 1).argmax(dim=1)
        right += ((found == batch.labels) * batch.weights).sum().item()  # weight 0 fills up the last batch
        total += batch.weights.sum().item()
print(f"val: {right:.0f} of {total:.0f} right")
