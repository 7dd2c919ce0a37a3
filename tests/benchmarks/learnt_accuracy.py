"""Is as much learnt from shards as from loose files? The same model, recipe and seeds, with nothing else in common.

    python -m tests.benchmarks.learnt_accuracy FOLDER --wheels build/photographs [--seeds N] [--epochs N] [--json FILE]

The pictures are the 1,797 handwritten digits that the wheel of scikit-learn carries (E. Alpaydin and C. Kaynak, UCI
Machine Learning Repository), written to FOLDER as PNGs of 32 x 32 pixels in one folder per class. They are packed and
trained by the commands of README.md. The same records are then learnt from the loose files: read with Pillow, cropped
at random as torchvision's RandomResizedCrop describes it, mirrored by half, in a shuffled order. Accuracy is that of
`val`, a fifth of them. Needs torch; each training uses one thread.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image

from packer.dataset.manifest import PixelStatistics
from packer.trainer.core.feed import ArrayBatch
from packer.trainer.core.framework import ModelSpec, StepOrder
from packer.trainer.core.recipe import Decay, Recipe
from packer.trainer.core.schedule import schedule_of
from packer.trainer.torch.torch_learner import TorchLearner
from packer.trainer.torch.torch_ranks import SoloRanks
from tests.benchmarks.measure import report

_DIGITS = "sklearn/datasets/data/digits.csv.gz"
_STORED_PX, _IMAGE_PX, _BATCH = 32, 32, 32
_MIN_AREA = 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--wheels", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--json", default="")
    given = parser.parse_args()
    torch.set_num_threads(1)
    files, dest = given.folder / "digits", given.folder / "packed"
    write_digits(given.wheels, files)
    run("packer", "pack", files, dest, "--gpus", 2, "--split", "train=0.8,val=0.2", "--stratify", "--overwrite")
    recipe = Recipe(
        epochs=given.epochs, batch_size=_BATCH, image_size=_IMAGE_PX, min_area=_MIN_AREA, decay=Decay.COSINE
    )
    packed = [train_packed(dest, recipe, seed) for seed in range(given.seeds)]
    loose = [train_loose(files, dest, recipe, seed) for seed in range(given.seeds)]
    found = {"packed": packed, "loose files": loose}
    rows = [(name, f"{np.mean(values):.3f}", _by_seed(values)) for name, values in found.items()]
    report(f"top-1 accuracy after {given.epochs} epochs", rows, found, given.json)


def write_digits(wheels: Path, folder: Path) -> None:
    """Write each digit as FOLDER/<class>/<number>.png, scaled up with a bicubic filter."""
    (wheel,) = wheels.glob("scikit_learn-*.whl")
    rows = gzip.decompress(zipfile.ZipFile(wheel).read(_DIGITS)).decode().split()
    for index, row in enumerate(rows):
        *values, label = (int(float(value)) for value in row.split(","))
        levels = (np.array(values).reshape(8, 8) * 255 // 16).astype(np.uint8)
        path = folder / str(label) / f"{index:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(levels).resize((_STORED_PX, _STORED_PX), Image.Resampling.BICUBIC).save(path)


def run(*words: object) -> None:
    environ = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", *map(str, words)], check=True, stdout=subprocess.DEVNULL, env=environ)


def _by_seed(values: Sequence[float]) -> str:
    return f"by seed {', '.join(f'{value:.3f}' for value in values)}"


def train_packed(dest: Path, recipe: Recipe, seed: int) -> float:
    """Train with the command line and return the accuracy on `val` after the last epoch."""
    metrics = dest.parent / f"metrics-{seed}.json"
    run(
        *("packer.trainer", "--data", dest, "--framework", "torch", "--eval-split", "val", "--seed", seed),
        *("--epochs", recipe.epochs, "--batch-size", recipe.batch_size, "--image-size", recipe.image_size),
        *("--min-area", recipe.min_area, "--decay", recipe.decay, "--metrics", metrics, "--threads", 1),
    )
    return float(json.loads(metrics.read_text())["epochs"][-1]["evaluation"]["accuracy"])


def train_loose(files: Path, dest: Path, recipe: Recipe, seed: int) -> float:
    """Train on the loose files of the same splits, and return the same accuracy."""
    manifest = json.loads((dest / "manifest.json").read_text())
    pixels = manifest["pixels"]
    spec = ModelSpec(
        recipe=recipe,
        num_classes=manifest["num_classes"],
        pixels=PixelStatistics(mean=tuple(pixels["mean"]), std=tuple(pixels["std"])),
        seed=seed,
    )
    learner = TorchLearner(spec, SoloRanks(), torch.device("cpu"))
    paths = {split: [files / key for key in list_keys(dest, split)] for split in ("train", "val")}
    steps = len(paths["train"]) // recipe.batch_size
    schedule = schedule_of(recipe, steps_per_epoch=steps, world=1)
    chance = random.Random(seed)
    for epoch in range(recipe.epochs):
        shuffled = chance.sample(paths["train"], len(paths["train"]))
        for step, batch in enumerate(batches(shuffled[: steps * recipe.batch_size], chance)):
            number = epoch * steps + step
            learner.step([batch], StepOrder(learning_rate=schedule.rate(number), seeds=(number,))).read()
    sums = learner.evaluate(batches(paths["val"], None))
    return sums.correct / sums.records


def list_keys(dest: Path, split: str) -> list[str]:
    tables = sorted((dest / "meta/records" / split).glob("*.parquet"))
    return [row["key"] for table in tables for row in pq.read_table(table, columns=["key"]).to_pylist()]


def batches(paths: Sequence[Path], chance: random.Random | None) -> Iterator[ArrayBatch]:
    """Yield pictures cropped at random, or without chance their central squares."""
    for start in range(0, len(paths), _BATCH):
        chosen = paths[start : start + _BATCH]
        yield ArrayBatch(
            images=np.stack([read(path, chance) for path in chosen]),
            labels=np.array([int(path.parent.name) for path in chosen]),
            weights=np.ones(len(chosen), np.float32),
        )


def read(path: Path, chance: random.Random | None) -> Any:
    picture = Image.open(path).convert("RGB")
    side = _STORED_PX
    if chance is None:
        edge = (side - round(side * 0.875)) // 2
        box = (edge, edge, side - edge, side - edge)
    else:
        area, ratio = side * side * chance.uniform(_MIN_AREA, 1), np.exp(chance.uniform(np.log(3 / 4), np.log(4 / 3)))
        width, height = (min(side, round(float(np.sqrt(area * r)))) for r in (ratio, 1 / ratio))
        left, top = chance.randint(0, side - width), chance.randint(0, side - height)
        box = (left, top, left + width, top + height)
        if chance.random() < 0.5:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(picture.resize((_IMAGE_PX, _IMAGE_PX), Image.Resampling.BILINEAR, box))


if __name__ == "__main__":
    main()
