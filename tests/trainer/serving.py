"""A server's part: pictures made ready by what `preprocessing.json` says, and by nothing else."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.reading.make_dataset import make_samples


def prepare(document: dict[str, Any], encoded: Sequence[bytes]) -> Any:
    """Return what the model takes for some image files."""
    rule = document["input"]
    assert (rule["dtype"], rule["color"], rule["resampling"]) == ("uint8", "RGB", "bilinear, antialiased")
    arrays = []
    for content in encoded:
        picture = Image.open(io.BytesIO(content)).convert(rule["color"])
        side = round(min(picture.size) * rule["crop"])
        left, top = ((length - side) // 2 for length in picture.size)
        square = picture.crop((left, top, left + side, top + side))
        arrays.append(np.asarray(square.resize((rule["width"], rule["height"]), Image.Resampling.BILINEAR)))
    batch = np.stack(arrays)
    return batch if rule["layout"] == "NHWC" else np.ascontiguousarray(batch.transpose(0, 3, 1, 2))


def accuracy(folder: Path, serve: Any) -> float:
    """Return how much a served model, a function from an array to logits, knows of new pictures of three colours."""
    document = json.loads((folder / "preprocessing.json").read_text())
    samples = make_samples(24, num_classes=3, first=900)
    logits = np.asarray(serve(prepare(document, [sample.encoded for sample in samples])))
    assert logits.shape == (24, document["output"]["num_classes"])
    return float((logits.argmax(axis=1) == [sample.label for sample in samples]).mean())
