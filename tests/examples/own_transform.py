"""A transform of your own: a change of light, the same for a sample and an epoch whatever makes the batch.

    python tests/examples/own_transform.py shards/

Batches are made in a process of their own, which imports the transform by its name. So it stands in a module that can
be imported: here this file itself, whose folder is on the path of a script.
"""

import sys

import numpy as np

import packer


def jitter(image: np.ndarray, chance: np.random.Generator) -> np.ndarray:
    """Take an image uint8 [px, px, 3] and return one of the same shape and type."""
    return np.clip(image * chance.uniform(0.6, 1.4), 0, 255).astype(np.uint8)


def main() -> None:
    settings = {"batch_size": 8, "image_px": 32}
    with packer.Loader(sys.argv[1], "train", **settings) as plain:
        before = next(iter(plain)).images.mean(axis=(1, 2, 3))
    for attempt in range(2):
        with packer.Loader(sys.argv[1], "train", transform="own_transform:jitter", **settings) as loader:
            after = next(iter(loader)).images.mean(axis=(1, 2, 3))
        print(f"attempt {attempt}: light changed by {', '.join(f'{value:.2f}' for value in after / before)}")


if __name__ == "__main__":
    main()
