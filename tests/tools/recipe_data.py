"""What the recipes of the pages read: real photographs made small, under the names that the pages give.

photos/ scans.csv listing.parquet annotations.jsonl set/ coco/
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from tests.tools.photographs import load_originals

NUM_PHOTOS = 640
"""Nine tenths of them, and one tenth, divide by 64: so every number of GPUs that a page names fits."""
_SIDE_PX = 48
_FEW = 80


def write_recipe_data(folder: Path, wheels: Path, *, count: int = NUM_PHOTOS) -> None:
    """Write cuts of photographs, one folder a class, and listings of them."""
    classes = {
        label: [original.resize((160, 120)) for original in originals]
        for label, originals in load_originals(wheels).items()
    }
    rows = []
    for index in range(count):
        label, originals = list(classes.items())[index % len(classes)]
        path = folder / "photos" / label / f"{index:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        _cut(originals, random.Random(index)).save(path, quality=90)
        subset = "val" if index % 10 == 0 else "train"
        rows.append({"path": f"photos/{label}/{path.name}", "label": label, "patient": index // 4, "subset": subset})
    lines = [",".join(map(str, row.values())) for row in rows]
    (folder / "scans.csv").write_text("\n".join([",".join(rows[0]), *lines]) + "\n")
    pq.write_table(pa.Table.from_pylist(rows), folder / "listing.parquet")
    _write_fields(folder, rows[:_FEW])


def _cut(originals: list[Image.Image], chance: random.Random) -> Image.Image:
    original = chance.choice(originals)
    side = chance.randint(_SIDE_PX, 100)
    left, top = chance.randint(0, original.width - side), chance.randint(0, original.height - side)
    return original.crop((left, top, left + side, top + side)).resize((_SIDE_PX, _SIDE_PX))


def _write_fields(folder: Path, rows: list[dict[str, object]]) -> None:
    """Write boxes and masks of some photographs, in the ways that the page on sources names."""
    mask = Image.new("L", (_SIDE_PX, _SIDE_PX))
    mask.paste(1, (8, 8, 32, 32))
    lines, images, annotations = [], [], []
    for number, row in enumerate(rows):
        data = (folder / str(row["path"])).read_bytes()
        name, masked = f"{number:03d}.jpg", f"{number:03d}.png"
        for path in (f"set/images/{row['label']}/{name}", f"coco/val2017/{name}"):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
        (folder / f"set/masks/{row['label']}").mkdir(parents=True, exist_ok=True)
        mask.save(folder / f"set/masks/{row['label']}/{masked}")
        place = {"bbox": [[8, 8, 32, 32]], "category": ["thing"]}
        path = f"set/masks/{row['label']}/{masked}"
        lines.append(json.dumps({"path": row["path"], "label": row["label"], **place, "segmentation": path}))
        images.append({"id": number, "file_name": name, "width": _SIDE_PX, "height": _SIDE_PX})
        annotations.append({"id": number, "image_id": number, "category_id": 1, "bbox": [8, 8, 24, 24], "iscrowd": 0})
    (folder / "annotations.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "coco/annotations").mkdir()
    categories = [{"id": 1, "name": "thing"}]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "coco/annotations/instances_val2017.json").write_text(json.dumps(document))
