"""Boxes, key points and masks on the report's pictures, in every container; and groups that look alike."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from packer.cli.main import run
from packer.dataset.load import load_manifest
from packer.dataset.near_list import NEAR_SCHEMA
from packer.dataset.recordstable import encode_records
from packer.report.near_groups import read_near_facts
from packer.report.report_facts import collect_facts
from packer.specs import DEFAULT_STORE, FormatName
from packer.stores.open_store import open_store
from tests.tools.datasets import pack_small

GREY = 128


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Grey pictures of 320 x 240 with a box, a point and a mask."""
    folder = tmp_path_factory.mktemp("source")
    rows = []
    for number in range(4):
        Image.new("RGB", (320, 240), (GREY,) * 3).save(folder / f"{number}.png")
        mask = np.zeros((240, 320), np.uint8)
        mask[200:, :100] = 3
        Image.fromarray(mask).save(folder / f"mask{number}.png")
        row = {"box": [[40, 40, 160, 120]], "kind": ["cat"], "joint": [300, 20, 10, 10], "seen": [1, 0]}
        rows.append({"path": f"{number}.png", "label": 0, "seg": f"mask{number}.png", **row})
    (folder / "list.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder / "list.jsonl"


def pack(source: Path, dest: Path, container: FormatName) -> None:
    fields = ["object=boxes:box+kind", "mask=mask:seg", "pose=points:joint+seen"]
    kept = fields[:1] if container is FormatName.RECORDIO else fields
    pack_small(source, dest, format=container, gpus=1, field=kept, resize="320x240", encode="png", key_column="path")


@pytest.mark.slow
@pytest.mark.parametrize("container", list(FormatName))
def test_fields_are_drawn_where_they_are(source: Path, tmp_path: Path, container: FormatName) -> None:
    """On pictures of half the size."""
    pack(source, tmp_path / "set", container)
    facts = collect_facts(str(tmp_path / "set"), DEFAULT_STORE)
    assert len(facts.pictures) == 4
    for picture in facts.pictures:
        pixels = np.asarray(Image.open(io.BytesIO(picture.thumbnail.jpeg)).convert("RGB")).astype(int)
        assert pixels.shape == (120, 160, 3)
        changed = (np.abs(pixels - GREY).max(axis=2) > 30).nonzero()
        spots = set(zip(*(axis.tolist() for axis in changed), strict=True))
        assert {(20, 50), (59, 50), (40, 20), (40, 79)} <= spots, "the frame"
        assert (40, 50) not in spots, "what is inside of it"
        assert ((110, 20) in spots) == (container is not FormatName.RECORDIO), "the mask"
        assert ((10, 150) in spots) == (container is not FormatName.RECORDIO), "the point"
        assert (5, 5) not in spots, "the point that is not visible"


@pytest.mark.slow
def test_inspect_names_fields(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pack(source, tmp_path / "set", FormatName.WEBDATASET)
    capsys.readouterr()
    assert run(["inspect", str(tmp_path / "set")]) == 0
    assert "fields: object (boxes of 1 class: cat), mask (mask), pose (points)" in capsys.readouterr().out
    assert run(["inspect", str(tmp_path / "set"), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [field["name"] for field in shown["fields"]] == ["object", "mask", "pose"]
    assert shown["near_duplicates"] is None


def test_groups_that_cross_splits_come_first_with_their_pictures(odd_set: Path) -> None:
    facts = collect_facts(str(odd_set), DEFAULT_STORE)
    assert facts.near is None
    rows = facts.records.table.to_pylist()
    train, val = (
        [row["key"] for row in rows if row["split"] == name and not row["is_fill"]] for name in ("train", "val")
    )
    listed = [(0, train[0], "train", 2), (0, train[1], "train", 2), (1, train[2], "train", 4), (1, val[0], "val", 4)]
    columns = [
        {"group": group, "key": key, "label": "0", "split": split, "distance": distance}
        for group, key, split, distance in listed
    ]
    store = open_store(str(odd_set))
    near_list = encode_records(pa.Table.from_pylist(columns, schema=NEAR_SCHEMA))
    store.put("meta/near_duplicates.parquet", [near_list])
    try:
        near = read_near_facts(store, load_manifest(store), facts.records.table)
    finally:
        store.delete("meta/near_duplicates.parquet")
    assert near is not None
    assert (near.counts.num_groups, near.counts.num_items, near.counts.num_crossing) == (2, 4, 1)
    assert [[item.key for item in group] for group in near.groups] == [[train[2], val[0]], [train[0], train[1]]]
    assert all(item.picture is not None for group in near.groups for item in group)
