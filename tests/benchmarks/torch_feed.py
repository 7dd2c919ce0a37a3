"""How fast a GPU is fed: a data set read by `packer.Loader`, beside the same photographs as loose files.

    python -m tests.benchmarks.torch_feed FOLDER DATASET [--workers N] [--batch-size N] [--json FILE]

FOLDER holds the photographs in one folder per class, DATASET what `shardpack pack` made of them. Both are cropped at
random, scaled to 224 pixels and mirrored: those of the data set by as many threads as the loose files have workers of
DataLoader, which do it as torchvision's documentation shows it (ImageFolder, RandomResizedCrop, RandomHorizontalFlip),
with tensors of bytes. Images per second are those of later epochs, without the workers' start. A ResNet-50 in bfloat16
is then trained on batches that stay on the GPU, on those of the data set, and on those of the loose files; without a
GPU only the reading is measured. Needs torch and torchvision.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any

import torch
import torchvision
from torchvision.transforms import v2

from packer.loading.loader import Loader
from packer.loading.torch_adapter import TorchBatches
from tests.benchmarks.measure import create_parser, median, report, spread

_IMAGE_PX = 224
_NUM_CLASSES = 1000
_RESIDENT_STEPS = 30
Epoch = Callable[[int], Iterable[Any]]


def main() -> None:
    given = _parse()
    readers = {"shards": _shards(given), "loose files": _loose_files(given)}
    figures: dict[str, Any] = {"workers": given.workers, "batch_size": given.batch_size}
    for name, epoch in readers.items():
        figures[f"{name}, read"] = _rates(epoch, given.rounds, lambda images, labels: None)
    if torch.cuda.is_available():
        figures["gpu"] = torch.cuda.get_device_name()
        figures["resident, trained"] = _rates(partial(_resident, given.batch_size), given.rounds, _Training())
        for name, epoch in readers.items():
            figures[f"{name}, trained"] = _rates(epoch, given.rounds, _Training())
    report("torch_feed", _rows(figures), figures, given.json)


def _parse() -> argparse.Namespace:
    parser = create_parser("feeding a GPU")
    parser.set_defaults(rounds=3)
    parser.add_argument("folder", help="photographs, one folder per class")
    parser.add_argument("dataset", help="the data set that was packed of them")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), metavar="N")
    parser.add_argument("--batch-size", type=int, default=256, metavar="N")
    return parser.parse_args()


def _shards(given: argparse.Namespace) -> Epoch:
    loader = Loader(
        given.dataset,
        "train",
        batch_size=given.batch_size,
        image_px=_IMAGE_PX,
        min_area=0.08,
        threads=given.workers,
    )
    batches = iter(TorchBatches(loader, "cuda:0" if torch.cuda.is_available() else "cpu"))
    return lambda index: ((batch.images, batch.labels) for batch in islice(batches, loader.steps))


def _loose_files(given: argparse.Namespace) -> Epoch:
    transform = v2.Compose([v2.RandomResizedCrop(_IMAGE_PX), v2.RandomHorizontalFlip(), v2.PILToTensor()])
    loader = torch.utils.data.DataLoader(
        torchvision.datasets.ImageFolder(given.folder, transform),
        batch_size=given.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=given.workers,
        persistent_workers=True,
        pin_memory=torch.cuda.is_available(),
    )
    return lambda epoch: loader


def _resident(batch_size: int, epoch: int) -> Iterator[Any]:
    images = torch.randint(0, 256, [batch_size, 3, _IMAGE_PX, _IMAGE_PX], dtype=torch.uint8, device="cuda")
    labels = torch.randint(0, _NUM_CLASSES, [batch_size], device="cuda")
    for _ in range(_RESIDENT_STEPS):
        yield images, labels


class _Training:
    """A step of SGD on a ResNet-50, channels last, in bfloat16."""

    def __init__(self) -> None:
        model = torchvision.models.resnet50(num_classes=_NUM_CLASSES)
        self._model = model.cuda().to(memory_format=torch.channels_last)
        self._optimizer = torch.optim.SGD(self._model.parameters(), lr=0.01, momentum=0.9)

    def __call__(self, images: Any, labels: Any) -> None:
        pixels = images.cuda(non_blocking=True).to(torch.bfloat16, memory_format=torch.channels_last) / 127.5 - 1
        with torch.autocast("cuda", torch.bfloat16):
            loss = torch.nn.functional.cross_entropy(self._model(pixels), labels.cuda(non_blocking=True))
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()


def _rates(epoch: Epoch, rounds: int, use: Callable[[Any, Any], None]) -> list[float]:
    """Return images per second of each of `rounds` epochs, after one that does not count."""
    rates = []
    for index in range(rounds + 1):
        started, num_images = time.monotonic(), 0
        for images, labels, *_ in epoch(index):
            use(images, labels)
            num_images += len(images)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        rates.append(num_images / (time.monotonic() - started))
    return rates[1:]


def _rows(figures: dict[str, Any]) -> list[tuple[str, str, str]]:
    rates = {name: found for name, found in figures.items() if isinstance(found, list)}
    base = {"read": "loose files, read", "trained": "resident, trained"}
    rows = [("workers", str(figures["workers"]), figures.get("gpu", "no GPU"))]
    for name, found in rates.items():
        compared = base[name.rpartition(" ")[2]]
        ratio = median(found) / median(rates[compared])
        rows.append((f"{name}, images/s", f"{median(found):,.0f}", f"{ratio:.2f} times {compared}; {spread(found)}"))
    return rows


if __name__ == "__main__":
    main()
