"""Loaders around PyTorch's DataLoader, which differ in where samples come from:

    python load_torch.py webdataset|litdata|streaming|imagefolder FOLDER

The first three decode with torchvision into tensors, or with Pillow where torchvision was built for another PyTorch;
the last one with Pillow, as `ImageFolder` does. Two workers.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from epochs import BATCH_SIZE, IMAGE_PX, MIN_AREA, RATIOS, SHUFFLED, run_epochs
from PIL import Image
from some_torchvision import HAS_CODECS  # before torchvision
from torchvision.io import ImageReadMode, decode_jpeg
from torchvision.transforms import v2

_WORKERS = 2
_CROP = v2.Compose([v2.RandomResizedCrop(IMAGE_PX, (MIN_AREA, 1.0), RATIOS, antialias=True), v2.RandomHorizontalFlip()])


def crop(encoded: bytes) -> Any:
    """Return uint8 [3, px, px]."""
    if not HAS_CODECS:
        return v2.functional.pil_to_tensor(_CROP(Image.open(io.BytesIO(encoded)).convert("RGB")))
    data = torch.frombuffer(bytearray(encoded), dtype=torch.uint8)
    return _CROP(decode_jpeg(data, ImageReadMode.RGB))


def from_webdataset(folder: str) -> Iterable[Any]:
    import webdataset

    shards = sorted(map(str, Path(folder).glob("train/*.tar")))
    samples = webdataset.WebDataset(shards, shardshuffle=len(shards)).shuffle(SHUFFLED)
    batches = samples.to_tuple("jpg", "cls").map_tuple(crop, int).batched(BATCH_SIZE, partial=False)
    return webdataset.WebLoader(batches, batch_size=None, num_workers=_WORKERS, persistent_workers=True)


def from_litdata(folder: str) -> Iterable[Any]:
    import litdata

    class Cropped(litdata.StreamingDataset):
        def __getitem__(self, index: Any) -> Any:
            sample = super().__getitem__(index)
            return crop(sample["image"]), sample["label"]

    samples = Cropped(folder, shuffle=True, drop_last=True)
    return litdata.StreamingDataLoader(
        samples, batch_size=BATCH_SIZE, num_workers=_WORKERS, drop_last=True, persistent_workers=True
    )


def from_streaming(folder: str) -> Iterable[Any]:
    from streaming import StreamingDataset

    class Cropped(StreamingDataset):
        def __getitem__(self, index: Any) -> Any:
            sample = super().__getitem__(index)
            return crop(sample["image"]), sample["label"]

    samples = Cropped(local=folder, shuffle=True, batch_size=BATCH_SIZE)
    return _in_batches(samples)


def from_folder(folder: str) -> Iterable[Any]:
    from torchvision.datasets import ImageFolder

    return _in_batches(ImageFolder(folder, v2.Compose([_CROP, v2.PILToTensor()])), shuffle=True)


def _in_batches(samples: Any, **options: Any) -> Iterable[Any]:
    return torch.utils.data.DataLoader(
        samples, BATCH_SIZE, num_workers=_WORKERS, drop_last=True, persistent_workers=True, **options
    )


WAYS: dict[str, Callable[[str], Iterable[Any]]] = {
    "webdataset": from_webdataset,
    "litdata": from_litdata,
    "streaming": from_streaming,
    "imagefolder": from_folder,
}


def main() -> None:
    way, folder = sys.argv[1:]
    torch.set_num_threads(1)
    batches = WAYS[way](folder)

    def epoch(_: int) -> Iterator[int]:
        for images, _ in batches:
            yield len(images)

    run_epochs(epoch)


if __name__ == "__main__":
    main()
